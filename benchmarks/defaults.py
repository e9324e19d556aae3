"""Which optimizer, learning rate and schedule learn best from a cache, by size of the student and number of steps.

    python benchmarks/defaults.py --cache CACHE --work DIR [--sizes 2L128H] [--steps 300] [--seeds 1]
        [--recipes adamw:3e-4:linear,adafactor:5e-2:linear] [--objective logits] [--batch-size 16] [--curve N]

A recipe is OPTIMIZER:RATE:SCHEDULE, with :WARMUP behind it for another share of warm-up steps than a hundredth. Students of one
size, number of steps and seed train in one pass, so all see the same batches. The table has the validation cross-entropy after
the last step in nats per target token, beside word frequencies and the teacher. `--curve` shows it every N steps too. A finished
student in DIR is not trained again, so the script can be stopped and started.
"""

import argparse
import platform
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import torch

from miniend.recipes.inspect.inspection import inspect_cache
from miniend.student_train.config import TrainConfig
from miniend.student_train.run.metrics import VALIDATION, curve, read_metrics
from miniend.student_train.train import train_students

CROSS_ENTROPY = f"{VALIDATION}cross_entropy"


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--sizes", default="2L128H")
    parser.add_argument("--steps", default="300")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--recipes", default="adamw:3e-4:linear,adafactor:5e-2:linear")
    parser.add_argument("--objective", default="logits")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--curve", type=int, default=None)
    return parser.parse_args()


def configs(asked: argparse.Namespace, size: str, steps: int, seed: int) -> Iterator[TrainConfig]:
    """Yield the configuration of every recipe."""
    for recipe in asked.recipes.split(","):
        optimizer, rate, schedule, *warmup = recipe.split(":")
        yield TrainConfig(
            cache=asked.cache,
            output=asked.work / asked.objective / f"{size}-{steps}-{seed}" / recipe.replace(":", "-"),
            size=size,
            objective=asked.objective,
            steps=steps,
            batch_size=asked.batch_size,
            optimizer=optimizer,
            learning_rate=float(rate),
            schedule=schedule,
            warmup_steps=int(float(warmup[0]) * steps) if warmup else None,
            eval_every=asked.curve or steps,
            log_every=asked.curve or steps,
            seed=seed,
            device="cpu",
            allow_unfinished=True,
        )


def main() -> None:
    asked = parse()
    print(f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    print(f"objective {asked.objective}, batches of {asked.batch_size}; recipes: {asked.recipes}")
    teacher = inspect_cache(asked.cache).teacher
    print(f"teacher {teacher.validation_cross_entropy:.3f}, word frequencies {teacher.unigram_entropy:.3f} nats")
    for size, steps, seed in product(asked.sizes.split(","), map(int, asked.steps.split(",")), range(asked.seeds)):
        students = list(configs(asked, size, steps, seed))
        losses = train_students(students, log=lambda _: None)
        for recipe, student, loss in zip(asked.recipes.split(","), students, losses, strict=True):
            print(f"{size:>8} {steps:>6} steps  seed {seed}  {recipe:<28} {loss['cross_entropy']:.3f}", flush=True)
            if asked.curve:
                points = zip(*curve(read_metrics(student.output), CROSS_ENTROPY), strict=True)
                print("  " + "  ".join(f"{step}: {value:.3f}" for step, value in points), flush=True)


if __name__ == "__main__":
    main()
