"""Measure what each objective costs more than plain cross-entropy, for the same student and batches, and where the time goes.

    python benchmarks/objective_cost.py --cache DIR [--size 6L384H] [--batch-size 8] [--repeats 7]

Students of one size and every objective that the cache serves take the same step in turns. Printed are the median step, its ratio
to that of `scratch` (hard labels) by pairs within a turn, and the parts of the step: decoding the cached integers (mostly the
product with the basis), the losses on relations and states, the head with its loss, the rest of the forward pass, the backward
pass, and the rest, which is mostly the optimizer's. The gradients of these losses and of the head are formed in the forward pass.
"""

import argparse
import platform
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any
from unittest.mock import patch

import torch
from one_student import student_of

from miniend.cache import Cache, open_cache
from miniend.errors import CacheMismatchError
from miniend.student_train.objective import OBJECTIVES
from miniend.student_train.reading.batch import Batch
from miniend.student_train.reading.loader import Prefetcher, steps
from miniend.student_train.run.processes import Processes
from miniend.student_train.run.setup import open_feed
from miniend.student_train.run.student_run import StudentRun
from miniend.student_train.train import train_step

PARTS = ("decoding", "relations, states", "head and loss", "forward, rest", "backward", "optimizer")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--size", default="6L384H")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=7)
    return parser.parse_args()


def main() -> None:
    asked = parse()
    processes = Processes("auto")
    cache = open_cache(asked.cache)
    print(f"{platform.machine()}, {processes.device}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    runs = {name: run for name in OBJECTIVES if (run := run_of(cache, processes, asked.size, name))}
    terms = [dict(run.setup.distillation.each_term()) for run in runs.values()]
    everything = open_feed(cache, terms, processes.device)
    ahead = Prefetcher(steps(everything.training, asked.batch_size, 0, 0))
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    parts: dict[str, Counter[str]] = {name: Counter() for name in runs}
    try:
        for turn in range(asked.repeats + 1):
            batches = next(ahead)
            for name, run in runs.items():
                with timed_parts(run) as found:
                    begun = perf_counter()
                    train_step([run], batches, processes)
                    synchronise()
                    taken = perf_counter() - begun
                found["optimizer"] = taken - sum(found.values())
                if turn:  # the first warms up
                    seconds[name].append(taken)
                    parts[name].update(found)
    finally:
        ahead.close()
    print(f"{asked.size}, step of {asked.batch_size} examples of {asked.cache.name}; shares of the step:")
    for name, found in seconds.items():
        ratios = [taken / plain for taken, plain in zip(found, seconds["scratch"], strict=True)]
        shares = "  ".join(f"{part} {parts[name][part] / sum(found):.0%}" for part in PARTS)
        print(
            f"{name:<10} {median(found):7.3f} s  x {median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})  {shares}"
        )


def run_of(cache: Cache, processes: Processes, size: str, objective: str) -> StudentRun | None:
    """Return the run of an objective; None if the cache lacks signals that it needs."""
    try:
        return StudentRun(student_of(cache, processes.device, size=size, objective=objective), processes)
    except CacheMismatchError as lacking:
        print(f"{objective} is left out: {lacking}")
        return None


@contextmanager
def timed_parts(run: StudentRun) -> Iterator[Counter[str]]:
    """Inside, add up the seconds of the run's steps by part."""
    found: Counter[str] = Counter()
    distillation, decoder = run.setup.distillation, run.setup.feed.decoder
    watched: list[tuple[Any, str, str]] = [
        (decoder, "decode", "decoding"),
        *((term, "sums", "relations, states") for _, term in distillation.each_term()),
        (distillation, "_head_sums", "head and loss"),
        (distillation, "forward", "forward, rest"),
        (torch.Tensor, "backward", "backward"),
    ]
    with ExitStack() as stack:
        for owner, method, part in watched:
            stack.enter_context(patch.object(owner, method, stopwatch(getattr(owner, method), part, found)))
        yield found
    found["forward, rest"] -= found["relations, states"] + found["head and loss"]


def stopwatch(function: Callable[..., Any], part: str, found: Counter[str]) -> Callable[..., Any]:
    def watched(*arguments: Batch) -> Any:
        begun = perf_counter()
        result = function(*arguments)
        synchronise()
        found[part] += perf_counter() - begun  # type: ignore[assignment]
        return result

    return watched


def synchronise() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
