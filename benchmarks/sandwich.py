"""Measure what a step of `miniend schedule` costs over the steps of its candidates, each with weights of its own.

    python benchmarks/sandwich.py --cache DIR --sorted DIR [--keep 0.5,0.3,0.1] [--objective miniend-e] [--batch-size 8]
    python benchmarks/sandwich.py --cache DIR --random-weights [--keep ...]

The sandwich makes one step, then each candidate by itself, and so on in turns, all on the same batches. Printed are the median
step, the ratio of the sandwich's to the sum of the others by turns, and what each keeps in memory: weights with the optimizer's
state, and the growth of a step beyond them, of the sandwich and of the students of one pass, which step together.

`--random-weights` starts at random weights of the shape of the cache's teacher; time and memory do not depend on the weights. So
a cache of a teacher that `random_teacher.py` wrote at the shape of T5-base serves to measure that size.
"""

import argparse
import json
import platform
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter

import torch
from one_student import student_of

from miniend.cache import Cache, open_cache
from miniend.models.optimizers import optimizer_tensors
from miniend.models.pruning.widths import PRUNED, RECORD
from miniend.models.save import save_student
from miniend.models.start.fresh import build_student
from miniend.student_train.config import SandwichConfig
from miniend.student_train.dry_run.peak_memory import peak_growth
from miniend.student_train.reading.batch import Batch
from miniend.student_train.reading.loader import Prefetcher, steps
from miniend.student_train.run.processes import Processes
from miniend.student_train.run.student_run import StudentRun
from miniend.student_train.train import train_step


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True)
    start = parser.add_mutually_exclusive_group(required=True)
    start.add_argument("--sorted", type=Path, help="folder of prune-teacher")
    start.add_argument("--random-weights", action="store_true", help="random weights of the teacher's shape")
    parser.add_argument("--keep", default="0.5,0.3,0.1")
    parser.add_argument("--objective", default="miniend-e")
    parser.add_argument("--optimizer", default="adamw")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=5)
    return parser.parse_args()


def main() -> None:
    asked = parse()
    processes, cache = Processes("auto"), open_cache(asked.cache)
    print(f"{platform.machine()}, {processes.device}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    keeps = tuple(sorted((float(one) for one in asked.keep.split(",")), reverse=True))
    with tempfile.TemporaryDirectory() as work:
        source = random_start(cache, Path(work)) if asked.random_weights else asked.sorted
        together = run_of(asked, cache, processes, source, keeps)
        alone = [run_of(asked, cache, processes, source, (keep,)) for keep in keeps]
    ahead = Prefetcher(steps(together.setup.feed.training, asked.batch_size, 0, 0))
    try:
        batches = next(ahead)
        grown = [growth_of(runs, batches, processes) for runs in ([together], alone)]
        seconds: list[tuple[float, list[float]]] = []
        for turn in range(asked.repeats + 1):
            batches = next(ahead)
            taken = step_of([together], batches, processes), [step_of([one], batches, processes) for one in alone]
            if turn:  # the first warms up
                seconds.append(taken)
    finally:
        ahead.close()
    print(f"{asked.objective}, {asked.optimizer}, steps of {asked.batch_size} examples of {asked.cache.name}")
    for number, keep in enumerate(keeps):
        print(f"  keep {keep:g} by itself: {median(own[number] for _, own in seconds):.3f} s")
    ratios = [own / sum(others) for own, others in seconds]
    print(f"  sandwich: {median(own for own, _ in seconds):.3f} s, x {median(ratios):.3f} of their sum", end="")
    print(f" ({min(ratios):.3f} to {max(ratios):.3f})")
    kept = [sum(kept_bytes(run) for run in runs) for runs in ([together], alone)]
    for who, held, grew in zip(("sandwich", "students of one pass"), kept, grown, strict=True):
        print(
            f"  {who}: {held / 1e6:.1f} MB of weights and moments, first step {grew / 1e6:.1f} MB more than before it"
        )
    print(f"  sandwich over students: weights and moments x {kept[0] / kept[1]:.3f}")


def run_of(
    asked: argparse.Namespace, cache: Cache, processes: Processes, source: Path, keeps: tuple[float, ...]
) -> StudentRun:
    setup = student_of(
        cache,
        processes.device,
        SandwichConfig,
        init=f"{PRUNED}:{source}",
        keep=keeps[0],
        keeps=keeps,
        objective=asked.objective,
        optimizer=asked.optimizer,
        batch_size=asked.batch_size,
    )
    return StudentRun(setup, processes)


def random_start(cache: Cache, work: Path) -> Path:
    """Return a folder with random weights of the teacher's shape that passes for a sorted teacher."""
    config = {**cache.plan.teacher.config, "vocab_size": cache.plan.teacher.facts.vocab_rows}
    save_student(build_student(config, cache.plan.teacher.facts.tied, 0), work, cache.tokenizer_files(), "")
    (work / RECORD).write_text(json.dumps({}))
    return work


def step_of(runs: list[StudentRun], batches: list[Batch], processes: Processes) -> float:
    """Return the seconds of one step."""
    begun = perf_counter()
    train_step(runs, batches, processes)
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return perf_counter() - begun


def growth_of(runs: list[StudentRun], batches: list[Batch], processes: Processes) -> int:
    """Return the growth of memory in the first step, with which the optimizer's state begins."""
    with peak_growth(processes.device) as growth:
        train_step(runs, batches, processes)
    return growth.bytes


def kept_bytes(run: StudentRun) -> int:
    """Return the bytes of weights and optimizer state."""
    tensors = [*run.setup.distillation.parameters(), *optimizer_tensors(run.setup.optimizer).values()]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


if __name__ == "__main__":
    main()
