"""Measure how well a model learns a task with each optimizer and learning rate, and what batches of similar length save.

    python benchmarks/fine_tuning.py --model STUDENT --task glue/sst2 --data TASKS [--train-examples 2000] [--seeds 2]

We print the scores on the development sets per seed. They show what works at all; no reported choice depends on them. Padding is
the number of tokens in training batches, padding included, divided by the number of real tokens.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch

from miniend.errors import TrainingError
from miniend.evaluation.checkpoint import load_checkpoint
from miniend.evaluation.protocols.protocols import protocol_for
from miniend.evaluation.tasks.examples import draw
from miniend.evaluation.tasks.known import find_task
from miniend.evaluation.tasks.sources import load_task
from miniend.evaluation.tuning.batch_order import by_length
from miniend.evaluation.tuning.fine_tuning import FineTuning, fine_tune_and_predict

RATES = {"adamw": (1e-4, 3e-4, 1e-3, 3e-3), "adafactor": (1e-3, 3e-3, 1e-2, 3e-2)}


def padding(lengths: Sequence[int], order: Sequence[int], batch_size: int) -> float:
    """Return the number of tokens in all batches divided by the number of real tokens."""
    batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    padded = sum(len(batch) * max(lengths[i] for i in batch) for batch in batches)
    return padded / sum(lengths[i] for i in order)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--task", required=True)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--train-examples", type=int, default=2000)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--bf16", action="store_true")
    asked = parser.parse_args()
    task: Any = find_task(asked.task)
    data = load_task(task, asked.data, print)
    train = draw(data.train, asked.train_examples)
    protocol = protocol_for(task, "head", load_checkpoint(asked.model), None, 128)
    lengths = [len(feature["input_ids"]) for feature in protocol.features(train, targets=False)]
    drawn = [int(i) for i in np.random.default_rng(0).permutation(len(lengths))]
    ours = by_length(lengths, asked.epochs, asked.batch_size, 0)
    print(f"{len(train)} examples of {asked.task}, {asked.epochs} epochs, batches of {asked.batch_size}, {asked.model}")
    print(
        f"padding: {padding(lengths, drawn, asked.batch_size):.2f} in random batches, "
        f"{padding(lengths, ours, asked.batch_size):.2f} in batches of similar length"
    )
    print(f"\n| optimizer | learning rate | {task.metrics[0]} by seed | seconds |\n|---|---|---|---|")
    for optimizer, rates in RATES.items():
        for rate in rates:
            found, started = [], perf_counter()
            for seed in range(asked.seeds):
                settings = FineTuning(
                    optimizer=optimizer,
                    learning_rate=rate,
                    epochs=asked.epochs,
                    batch_size=asked.batch_size,
                    seed=seed,
                    bf16=asked.bf16,
                    device=torch.device("cpu"),
                )
                found.append(_scores(protocol, task, train, data.development, settings))
            seconds = (perf_counter() - started) / asked.seeds
            print(f"| {optimizer} | {rate:g} | {', '.join(found)} | {seconds:.1f} |", flush=True)


def _scores(protocol: Any, task: Any, train: Any, development: Any, settings: FineTuning) -> str:
    try:
        answers = fine_tune_and_predict(protocol, train, development, settings, task.name)
    except TrainingError:
        return "not finite"
    return " / ".join(
        f"{task.scores(part, answers[name].answers)[task.metrics[0]]:.1f}" for name, part in development.items()
    )


if __name__ == "__main__":
    main()
