"""Measure how much longer the commands take on a busy machine: each one quiet, and beside a process that burns every core.

    python benchmarks/busy.py --work DIR [--pairs 3] [--late 0] [--command training]

We make the teacher, the cache and the texts with a small demo first. Each pair runs a command twice, quiet and busy, and every
other pair begins busy. With `--late 10` the burners start 10 seconds after the command, when OpenMP has already chosen how its
threads wait. On a machine that is not quiet we stop, because the ratios would mean nothing; `--anyway` goes on.
"""

import argparse
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from time import perf_counter, sleep

import psutil
from in_turns import ratio, shown

from miniend.runtime.cores import CHOSEN_BY_THE_USER

BURN = "import os\nparent = os.getppid()\nwhile os.getppid() == parent:\n    sum(range(100_000))"
"""It ends with its parent, even if that is killed."""
SMALL_DEMO = """from miniend.recipes.demo import demo
demo.TEACHER_STEPS, demo.STUDENT_STEPS, demo.EXAMPLES, demo.VALIDATION_EXAMPLES = 60, 24, 256, 32
demo.SUCCESS = float("-inf")
"""
"""A plugin: a demo of half a minute, whose teacher need not teach."""
MOST_IN_USE = 0.2
"""The number of cores that others may use while we call a machine quiet."""
SECONDS_OF_LOOKING = 5.0
SENTENCES = 1200


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--late", type=float, default=0.0, help="seconds after which the burners start")
    parser.add_argument("--command", action="append", choices=("demo", "dump", "training", "evaluation"))
    parser.add_argument("--anyway", action="store_true", help="measure on a machine that is not quiet")
    return parser.parse_args()


def main() -> None:
    asked = parse()
    in_use = sum(psutil.cpu_percent(SECONDS_OF_LOOKING, percpu=True)) / 100
    print(f"{platform.machine()}, {os.cpu_count()} cores, {in_use:.1f} of them in use by others", flush=True)
    if in_use > MOST_IN_USE and not asked.anyway:
        sys.exit("the machine is not quiet: stop what else runs, or add --anyway and do not trust the ratios")
    commands = prepare(asked.work)
    print(
        "\n| command | quiet, s | busy, s | ratio, median (least-greatest) | lines about shared cores, quiet and busy |"
    )
    print("|---|---|---|---|---|", flush=True)
    for name in asked.command or commands:
        print(row(name, commands[name], asked), flush=True)


def prepare(work: Path) -> dict[str, list[str]]:
    """Return the command lines by name, without their output, after making what they read."""
    work.mkdir(parents=True, exist_ok=True)
    plugin, made = work / "small_demo.py", work / "made"
    plugin.write_text(SMALL_DEMO)
    demo = ["demo", "--plugin", str(plugin), "--output"]
    if not (made / "report.html").exists():
        run([*demo, str(made)])
    write_sentences(work / "sst2")
    teacher, student = made / "teacher", made / "student-2L96H-miniend-e"
    dumped = "--corpus python-docs --examples 512 --validation-examples 32 --input-length 128 --calibration-examples 80"
    trained = "--size 2L96H --steps 60 --batch-size 16 --save-every 60 --eval-every 60 --device cpu --output"
    evaluated = "--task glue/sst2 --seeds 1 --epochs 2 --learning-rate 1e-3 --device cpu --output"
    return {
        "demo": demo,
        "dump": ["dump-teacher", "--teacher", str(teacher), *dumped.split(), "--device", "cpu", "--cache"],
        "training": ["train-student", "--cache", str(made / "cache"), *trained.split()],
        "evaluation": ["evaluate", "--model", str(student), "--data", str(work / "sst2"), *evaluated.split()],
    }


def write_sentences(folder: Path) -> None:
    """Write sentences with labels as GLUE has them; the words come from a docstring, the labels mean nothing."""
    folder.mkdir(exist_ok=True)
    words = " ".join(str(argparse.__doc__).split()).split()
    for part, count in (("train", SENTENCES), ("dev", SENTENCES // 8)):
        lines = [" ".join(words[start % 200 : start % 200 + 5 + start % 40]) for start in range(count)]
        rows = (f"{line}\t{len(line) % 2}" for line in lines)
        (folder / f"{part}.tsv").write_text("\n".join(["sentence\tlabel", *rows]) + "\n")


def row(name: str, command: Sequence[str], asked: argparse.Namespace) -> str:
    """Run a command in turns, and return its line of the table."""
    seconds: dict[bool, list[float]] = {False: [], True: []}
    said = {False: 0, True: 0}
    for pair in range(asked.pairs):
        for busy in (False, True) if pair % 2 == 0 else (True, False):
            output = asked.work / "output"
            shutil.rmtree(output, ignore_errors=True)
            with burning(asked.late) if busy else quiet():
                begun = perf_counter()
                lines = run([*command, str(output)])
                seconds[busy].append(perf_counter() - begun)
            said[busy] += sum("other work" in line or "other processes" in line for line in lines)
    ratios = [b / q for q, b in zip(seconds[False], seconds[True], strict=True)]
    spread = f"{ratio(seconds[False], seconds[True]):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"
    return (
        f"| {name} | {shown(seconds[False], 1)} | {shown(seconds[True], 1)} | {spread} | {said[False]}, {said[True]} |"
    )


def run(command: Sequence[str]) -> list[str]:
    """Run one command of miniend, without choices of the user about threads, and return what it printed."""
    left_out = {*CHOSEN_BY_THE_USER, "OMP_NUM_THREADS", "MKL_NUM_THREADS"}
    environment = {name: value for name, value in os.environ.items() if name not in left_out}
    done = subprocess.run(
        [sys.executable, "-m", "miniend", *command], env=environment, capture_output=True, text=True, check=False
    )
    lines = [*done.stdout.splitlines(), *done.stderr.splitlines()]
    if done.returncode:
        sys.exit("\n".join(["this command failed:", " ".join(command), *lines[-5:]]))
    return lines


@contextmanager
def quiet() -> Iterator[None]:
    """Run nothing beside the block."""
    yield


@contextmanager
def burning(late: float) -> Iterator[None]:
    """Run a process that burns a core for each core beside the block, from so many seconds on; they end with the block."""
    burners: list[subprocess.Popen[bytes]] = []
    ended = Event()

    def start() -> None:
        if not ended.wait(late):
            burners.extend(subprocess.Popen([sys.executable, "-c", BURN]) for _ in range(os.cpu_count() or 1))

    starter = Thread(target=start)
    starter.start()
    try:
        if not late:
            sleep(1.0)  # so that the command finds them at work
        yield
    finally:
        ended.set()
        starter.join()
        for burner in burners:
            burner.kill()
            burner.wait()


if __name__ == "__main__":
    main()
