"""Compare students of a cache with students of the live teacher: time per step, peak memory, and the total for n students.

    python benchmarks/offline_or_live.py --tokenizer DIR --corpus 'FILES*.jsonl.gz' --work DIR [--shape base] [--size 6L384H]

The teacher has random weights in the shape of T5-base (or -small). A small dump gives the costs of a cache: once (loading,
plan, segments, calibration) and per example. Then one student takes steps with the same batches in turns: from the cache, and
beside the teacher in float32 and in bfloat16. Peak memory is measured in a separate process, above its libraries. The hours of
n students over N examples follow from these: offline = once + N x dump + n x N x step, and live = n x N x live step, with the
teacher's faster dtype.
"""

import argparse
import platform
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from functools import partial
from statistics import median
from time import perf_counter

import torch
from child_memory import peak_over_before
from live_teacher import beside
from one_student import student_of
from random_teacher import parser_for, random_teacher

from miniend.cache import open_cache
from miniend.student_train.reading.batch import Batch
from miniend.student_train.reading.loader import Prefetcher, steps
from miniend.student_train.run.processes import Processes
from miniend.student_train.run.student_run import StudentRun
from miniend.student_train.train import train_step
from miniend.teacher_dump.config import DumpConfig
from miniend.teacher_dump.dump import dump_teacher
from miniend.teacher_dump.teacher import load_teacher

DTYPES = ("float32", "bfloat16")
STUDENTS = (1, 2, 4)


def parse() -> argparse.Namespace:
    parser = parser_for(__doc__)
    parser.add_argument("--size", default="6L384H")
    parser.add_argument("--objective", default="miniend-e")
    parser.add_argument("--examples", type=int, default=96)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--dump-dtype", choices=DTYPES, default="bfloat16")
    parser.add_argument("--planned-examples", type=int, default=100_000, help="N of the totals")
    parser.add_argument(
        "--only", help="cache, float32 or bfloat16: take only a few steps with it and print the peak memory"
    )
    return parser.parse_args()


def main() -> None:
    asked = parse()
    if asked.only:
        print(peak_memory(asked))
        return
    print(f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    once, per_example = dumped(asked)
    print(
        f"T5-{asked.shape}, L={asked.input_length}, {asked.dump_dtype}: once {once:.1f} s, "
        f"shard loop {per_example:.3f} s per example"
    )
    seconds = step_seconds(asked)
    for name, found in seconds.items():
        print(
            f"{asked.size} step of {asked.batch_size}, {name:<22} {median(found):7.3f} s ({min(found):.3f} to {max(found):.3f}), "
            f"peak memory {in_child(asked, name)}"
        )
    per_step = {name: median(found) / asked.batch_size for name, found in seconds.items()}
    print_totals(asked.planned_examples, once, per_example, per_step)


def print_totals(examples: int, once: float, dump: float, step: Mapping[str, float]) -> None:
    live = min(step[name] for name in DTYPES)
    for count in STUDENTS:
        offline = once + examples * (dump + count * step["cache"])
        online = count * examples * live
        print(
            f"{count} students over {examples:,} examples: offline {offline / 3600:.1f} h, live {online / 3600:.1f} h, "
            f"ratio {offline / online:.2f}"
        )


def dumped(asked: argparse.Namespace) -> tuple[float, float]:
    """Return the one-off seconds, and the seconds per example of the shard loop."""
    config = DumpConfig(
        teacher=str(random_teacher(asked.work, asked.shape, asked.tokenizer)),
        corpus=asked.corpus,
        cache=asked.work / "cache",
        examples=asked.examples,
        validation_examples=0,
        input_length=asked.input_length,
        logits="hybrid",
        calibration_examples=16,
        batch_size=asked.batch_size,
        shard_examples=asked.examples // 2,
        dtype=asked.dump_dtype,
    )
    begun = perf_counter()
    report = dump_teacher(config, log=lambda _line: None)
    return perf_counter() - begun - report.seconds, report.seconds / asked.examples


def step_seconds(asked: argparse.Namespace) -> dict[str, list[float]]:
    """Return the seconds of steps in turns, by source of the teacher's signals."""
    processes = Processes("auto")
    kinds = {name: run_of(asked, name, processes) for name in ("cache", *DTYPES)}
    ahead = Prefetcher(steps(kinds["cache"].setup.feed.training, asked.batch_size, 0, 0))
    found: dict[str, list[float]] = {name: [] for name in kinds}
    try:
        for turn in range(asked.repeats + 1):
            batches = next(ahead)
            for name, run in kinds.items():
                taken = timed_step(run, batches, processes)
                if turn:  # the first warms up
                    found[name].append(taken)
    finally:
        ahead.close()
    return found


def timed_step(run: StudentRun, batches: list[Batch], processes: Processes) -> float:
    begun = perf_counter()
    train_step([run], batches, processes)
    if processes.device.type == "cuda":
        torch.cuda.synchronize()
    return perf_counter() - begun


def run_of(asked: argparse.Namespace, kind: str, processes: Processes) -> StudentRun:
    """Return a fresh student that is taught by the cache, or by the live teacher in a dtype."""
    cache = open_cache(asked.work / "cache")
    setup = student_of(cache, processes.device, size=asked.size, objective=asked.objective)
    if kind != "cache":
        setup = beside(setup, load_teacher(str(asked.work / f"teacher-{asked.shape}"), kind, processes.device))
    return StudentRun(setup, processes)


def peak_memory(asked: argparse.Namespace) -> float:
    """Return the MB above the bare process for loading what one kind needs and taking two steps."""
    processes = Processes("auto")
    return peak_over_before(partial(two_steps, asked, processes), processes.device.type)


def two_steps(asked: argparse.Namespace, processes: Processes) -> None:
    run = run_of(asked, asked.only, processes)
    with closing(Prefetcher(steps(run.setup.feed.training, asked.batch_size, 0, 0))) as ahead:
        for _ in range(2):
            train_step([run], next(ahead), processes)


def in_child(asked: argparse.Namespace, kind: str) -> str:
    """Return the peak memory in MB that a separate process prints."""
    ended = subprocess.run(
        [sys.executable, __file__, *sys.argv[1:], "--only", kind], capture_output=True, text=True, check=True
    )
    return f"{float(ended.stdout.split()[-1]):,.0f} MB"


if __name__ == "__main__":
    main()
