"""Compare the training step of two caches that hold the same distributions in two forms, such as hybrid and from-hidden.

    python benchmarks/logit_step.py --cache HYBRID --cache FROM_HIDDEN [--size 4L128H] [--batch-size 8] [--repeats 9]

Steps from memory of the two caches alternate, each of the same student. We print the median of processor seconds per step (of
seconds on a GPU) and the median ratio of the pairs. Processor seconds are steadier where other programs run beside.
"""

import argparse
import platform
from itertools import islice
from statistics import median
from time import perf_counter, process_time

import torch
from one_student import student_of
from training_step import synchronise

from miniend.cache import open_cache
from miniend.student_train.reading.loader import BatchSource, steps
from miniend.student_train.run.processes import Processes
from miniend.student_train.run.student_run import StudentRun
from miniend.student_train.train import train_step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", required=True, action="append")
    parser.add_argument("--size", default="4L128H")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--device", default="auto")
    asked = parser.parse_args()
    processes = Processes(asked.device)
    clock = perf_counter if processes.device.type == "cuda" else process_time
    runs, held = [], []
    for path in asked.cache:
        cache = open_cache(path)
        setup = student_of(cache, processes.device, size=asked.size, objective="logits", batch_size=asked.batch_size)
        runs.append(StudentRun(setup, processes))
        source = BatchSource(cache.training, setup.feed.training.columns, 0)
        held.append(list(islice(steps(source, asked.batch_size, 0, 0), 4)))
    seconds: list[list[float]] = [[] for _ in runs]
    for repeat in range(asked.repeats + 1):
        for place, run in enumerate(runs):
            begun = clock()
            train_step([run], held[place][repeat % 4], processes)
            synchronise(processes.device)
            if repeat:  # the first one warms up
                seconds[place].append(clock() - begun)
    print(f"{platform.machine()}, {processes.device}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    for path, found in zip(asked.cache, seconds, strict=True):
        ratios = sorted(one / first for one, first in zip(found, seconds[0], strict=True))
        print(
            f"{path}: {median(found):.3f} s a step of {asked.batch_size}, {median(ratios):.3f} times the first "
            f"({ratios[0]:.3f} to {ratios[-1]:.3f})"
        )


if __name__ == "__main__":
    main()
