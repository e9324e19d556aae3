"""Compare a training step from the cache with the same step with its integers already in memory.

    python benchmarks/training_step.py --cache DIR [--size 6L384H,4L128H] [--batch-size 8] [--steps 8] [--memory 256]

Both kinds of steps alternate, `--steps` at a time. The wait for the first step is printed separately, and the buffer fills
during a warm-up. What a bounded buffer cannot hold is read during the steps, so a small `--memory` (MB) makes a small cache
behave like a large one. (Two steps are read ahead, during steps from memory too.) For each size we print the seconds of a step
from memory, the ratio (median, range and mean of the pairs), and two shares of the time of steps from the cache: waiting for
data, and products with the bases. At the end we print the speed of the loader without training.
"""

import argparse
import math
import platform
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import islice
from statistics import fmean, median, stdev
from time import perf_counter, process_time

import torch
from one_student import student_of

from miniend.cache import open_cache
from miniend.signals.codes.site_codec import SiteCodec
from miniend.student_train.reading.batch import Batch
from miniend.student_train.reading.loader import BatchSource, Prefetcher, steps
from miniend.student_train.run.processes import Processes
from miniend.student_train.run.student_run import StudentRun
from miniend.student_train.train import train_step


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", required=True)
    parser.add_argument("--size", default="6L384H,4L128H")
    parser.add_argument("--objective", default="miniend-e")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--memory", type=float, default=256.0, help="MB for examples that wait to be used")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--bf16", action="store_true")
    return parser.parse_args()


def main() -> None:
    asked = parse()
    cache = open_cache(asked.cache)
    print(f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    print(
        f"{len(cache)} examples in {len(cache.training.shards)} shards, batches of {asked.batch_size}, {asked.objective}"
    )
    processes = Processes(asked.device)
    for size in asked.size.split(","):
        settings = {"objective": asked.objective, "batch_size": asked.batch_size, "bf16": asked.bf16}
        setup = student_of(cache, processes.device, size=size, **settings)
        source = BatchSource(cache.training, setup.feed.training.columns, 0, round(asked.memory * 1e6))
        compare(asked, size, StudentRun(setup, processes), processes, source)
    alone(asked, source)


def compare(asked: argparse.Namespace, size: str, run: StudentRun, processes: Processes, source: BatchSource) -> None:
    """Alternate steps from the cache and the same from memory; print a line."""
    pairs, waits, products, plain = [], [], [], []
    begun = perf_counter()
    with closing(Prefetcher(steps(source, asked.batch_size, 0, 0))) as ahead:
        held = [next(ahead)]
        first = perf_counter() - begun
        held += islice(ahead, asked.steps - 1)
        for repeat in range(asked.repeats + 1):
            with decoding_timed(processes.device) as decoding:
                memory, _ = timed(run, processes, iter(held), asked.steps)
            cached, waited = timed(run, processes, ahead, asked.steps)
            if repeat:  # the first repeat warms up and fills the buffer
                pairs.append(cached / memory)
                waits.append(waited / cached)
                products.append(decoding[0] / memory)
                plain.append(memory / asked.steps)
    error = stdev(pairs) / len(pairs) ** 0.5 if len(pairs) > 1 else math.nan
    print(
        f"{size}: {median(plain):.3f} s a step from memory; from the cache {median(pairs):.3f} times that (median of "
        f"{len(pairs)} pairs from {min(pairs):.3f} to {max(pairs):.3f}; mean {fmean(pairs):.3f}, standard error {error:.3f}); "
        f"waiting {median(waits):.2%}, basis products {median(products):.2%}; first step after {first:.2f} s",
        flush=True,
    )


def timed(run: StudentRun, processes: Processes, items: Iterator[list[Batch]], count: int) -> tuple[float, float]:
    """Return the seconds of this many steps, and of waiting for their batches."""
    waited, begun = 0.0, perf_counter()
    for _ in range(count):
        waiting = perf_counter()
        batches = next(items)
        waited += perf_counter() - waiting
        train_step([run], batches, processes)
    synchronise(processes.device)
    return perf_counter() - begun, waited


@contextmanager
def decoding_timed(device: torch.device) -> Iterator[list[float]]:
    """Inside, add up the seconds of decoding sites."""
    spent, decode = [0.0], SiteCodec.decode

    def timed_decode(*arguments):
        synchronise(device)
        begun = perf_counter()
        found = decode(*arguments)
        synchronise(device)
        spent[0] += perf_counter() - begun
        return found

    SiteCodec.decode = timed_decode
    try:
        yield spent
    finally:
        SiteCodec.decode = decode


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def alone(asked: argparse.Namespace, source: BatchSource) -> None:
    """Print the tokens per second of the loader over an epoch and a half without training, after the first step."""
    generator = steps(source, asked.batch_size, 0, 0)
    next(generator)
    begun, worked, tokens = perf_counter(), process_time(), 0
    for (batch,) in islice(generator, -(-source.layout.total * 3 // (2 * asked.batch_size))):
        tokens += int(sum(valid.sum() for valid in batch.valid.values()))
    seconds, busy = perf_counter() - begun, process_time() - worked
    generator.close()
    print(f"the loader by itself: {tokens / seconds:,.0f} tokens per second, {tokens / busy:,.0f} per second of a core")


if __name__ == "__main__":
    main()
