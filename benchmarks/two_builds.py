"""Measure the time of this build over the time of another checkout of the project, as ratios within one run.

    python benchmarks/two_builds.py --other CHECKOUT [--pairs 5] [--only step,dump] [--steps 80] [--examples 1024]

The builds take turns: other, this, other, this, ..., other. A turn of this one is divided by the mean of the two turns of the
other one around it. We print median, least and greatest of these ratios; below 1, this build is faster. The noise is the ratio
of the other build's turns, each divided by the one before it. Both read one random teacher and the caches that the other build
dumps first. They run as commands, each in its own process that takes `miniend` from PYTHONPATH, with one thread.

We measure `step`, a training step; `dump`, the shard loop, as the dump prints it; `open`, open_cache of many shards; `help`,
`miniend --help`; `import`, `import miniend`. If a turn has several runs, the least counts. We print seconds and processor time,
which a busy machine disturbs less. For `step` and `dump` the processor time is of the whole command, its start included.
"""

import argparse
import json
import os
import platform
import re
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median
from time import perf_counter

from in_turns import shown
from unchanged_inputs import texts, write_inputs

THIS = Path(__file__).resolve().parents[1]
DUMP = (
    "dump-teacher --teacher inputs/t5 --corpus text.txt --input-length 128 --validation-examples 64 --shard-examples 256 "
    "--device cpu --threads 1"
)
MANY_SHARDS = "--validation-examples 0 --shard-examples 1 --input-length 32"
TRAIN = "train-student --cache cache --output student --size 2L64H --batch-size 8 --log-every 10 --device cpu"
WARM_UP = 20
"""The steps of a training that we do not count: the first of them wait for data."""
STARTS = 5
"""The number of runs of a short command in a turn."""
DUMPED = re.compile(r"dumped .*? in ([\d.]+) s")
OPEN = """
import time, miniend
miniend.open_cache("many-shards")
for _ in range(7):
    begun, worked = time.perf_counter(), time.process_time()
    miniend.open_cache("many-shards")
    print(time.perf_counter() - begun, time.process_time() - worked)
"""
Turn = tuple[float, float]
"""Seconds, and seconds of processor time."""


class Build:
    """A checkout, seen as the package `miniend` through a link in a folder of its own; its commands run in `work`."""

    def __init__(self, checkout: Path, folder: Path, work: Path) -> None:
        if not (checkout / "__main__.py").exists():
            sys.exit(f"{checkout} is not a checkout of MiniEnD")
        folder.mkdir()
        (folder / "miniend").symlink_to(checkout.resolve())
        self.work = work
        own = {"PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        self._environment = {**os.environ, **own}

    def python(self, *arguments: str) -> tuple[str, Turn]:
        """Return the output of the interpreter, and its time, start included."""
        command = [sys.executable, "-W", "ignore", *arguments]
        begun, worked = perf_counter(), processor_time()
        done = subprocess.run(
            command, env=self._environment, cwd=self.work, capture_output=True, text=True, check=False
        )
        if done.returncode:
            sys.exit(f"{' '.join(arguments)} ended with {done.returncode}: {done.stderr[-2000:]}")
        return done.stdout, (perf_counter() - begun, processor_time() - worked)

    def command(self, options: str, *more: str) -> tuple[str, Turn]:
        """Return the output and the time of a command."""
        return self.python("-m", "miniend", *options.split(), *more)

    def started(self, *arguments: str) -> Turn:
        """Return the least time of the interpreter in several runs."""
        return least([self.python(*arguments)[1] for _ in range(STARTS)])


def processor_time() -> float:
    """Return the processor time of the children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def least(turns: Sequence[Turn]) -> Turn:
    """Return the least seconds, and the least processor time."""
    return min(seconds for seconds, _ in turns), min(busy for _, busy in turns)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--other", type=Path, required=True, help="checkout of the project to compare with")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--only", default=",".join(MEASURES), help="measures, with commas")
    parser.add_argument("--steps", type=int, default=80, help="steps of a training that are counted")
    parser.add_argument("--examples", type=int, default=1024, help="examples of a dump")
    parser.add_argument("--shards", type=int, default=300, help="shards of the cache that is opened")
    return parser.parse_args()


def main() -> None:
    asked = parse()
    print(f"{platform.machine()}, {os.cpu_count()} cores, one thread; this build over {asked.other}", flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary, "work")
        other, this = (Build(path, Path(temporary, str(k)), work) for k, path in enumerate((asked.other, THIS)))
        prepare(asked, other)
        for name in asked.only.split(","):
            others, ours = turns_of(lambda build, name=name: MEASURES[name](build, asked), other, this, asked.pairs)
            for number, unit in enumerate(("seconds", "processor")):
                print(
                    line(f"{name} {unit}", *([turn[number] for turn in turns] for turns in (others, ours))), flush=True
                )


def prepare(asked: argparse.Namespace, build: Build) -> None:
    """Write the inputs, and dump the caches that the measures read."""
    write_inputs(build.work / "inputs")
    (build.work / "text.txt").write_text("\n\n".join(texts(3 * asked.examples, seed=2)))
    if "step" in asked.only.split(","):
        build.command(f"{DUMP} --examples 512 --input-length 64 --cache cache")
    if "open" in asked.only.split(","):
        build.command(f"{DUMP} --examples {asked.shards} {MANY_SHARDS} --cache many-shards")


def step(build: Build, asked: argparse.Namespace) -> Turn:
    """Measure a training step, from the lines of metrics."""
    shutil.rmtree(build.work / "student", ignore_errors=True)
    _, (_, busy) = build.command(TRAIN, "--steps", str(WARM_UP + asked.steps))
    metrics = map(json.loads, (build.work / "student" / "metrics.jsonl").read_text().splitlines())
    spans = [(now["step"], now["step_seconds"] / (now["step"] - before["step"])) for before, now in pairwise(metrics)]
    return min(seconds for end, seconds in spans if end > WARM_UP), busy


def dump(build: Build, asked: argparse.Namespace) -> Turn:
    """Measure the shard loop, as the dump prints it."""
    shutil.rmtree(build.work / "dumped", ignore_errors=True)
    said, (_, busy) = build.command(f"{DUMP} --examples {asked.examples} --cache dumped")
    return float(DUMPED.findall(said)[-1]), busy


def opening(build: Build, _asked: argparse.Namespace) -> Turn:
    """Measure the opening of a cache of many shards, after a first time."""
    said, _ = build.python("-c", OPEN)
    return least([tuple(map(float, line.split())) for line in said.splitlines()])


MEASURES: dict[str, Callable[[Build, argparse.Namespace], Turn]] = {
    "step": step,
    "dump": dump,
    "open": opening,
    "help": lambda build, _asked: build.started("-m", "miniend", "--help"),
    "import": lambda build, _asked: build.started("-c", "import miniend"),
}


def turns_of(measure: Callable[[Build], Turn], other: Build, this: Build, pairs: int) -> tuple[list[Turn], list[Turn]]:
    """Return the turns of the other build, first and last, and of this one between them. One turn of each warms up."""
    measure(other), measure(this)
    others, ours = [measure(other)], []
    for _ in range(pairs):
        ours.append(measure(this))
        others.append(measure(other))
    return others, ours


def line(name: str, others: Sequence[float], ours: Sequence[float]) -> str:
    """Return the line of one measure: ratios and noise."""
    around = [(before + after) / 2 for before, after in pairwise(others)]
    ratios = [own / other for own, other in zip(ours, around, strict=True)]
    noise = [after / before for before, after in pairwise(others)]
    return f"{name:<16} {shown(ratios, 3)}; noise {shown(noise, 3)}; {median(ours):.4g} s over {median(others):.4g} s"


if __name__ == "__main__":
    main()
