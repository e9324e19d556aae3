"""Held-out losses of students in training: every validation batch is read and decoded once for all of them."""

from collections.abc import Sequence
from math import ceil

import torch

from ..distillation import Distillation
from ..reading.batch import Batch
from ..reading.loader import Share, in_order
from ..reading.teacher_signals import TeacherSignals
from .processes import Processes
from .setup import Setup


@torch.no_grad()
def evaluate(setups: Sequence[Setup], processes: Processes) -> list[dict[str, float]]:
    """Per student its held-out means in nats: `loss` (the objective's weighted sum), every term, and `cross_entropy` (hard
    labels) where its head is trained; empty without validation examples. In float32, whatever the training runs in.

    The processes share the batches. Raises Stopped where one of them has met a signal.
    """
    config, feed = setups[0].config, setups[0].feed
    sums = [_Sums(setup.evaluation) for setup in setups]
    size = config.batch_size // (config.gradient_accumulation_steps * processes.world)
    batches = in_order(feed.validation, size, Share(processes.rank, processes.world))
    for _ in range(_rounds(feed.validation.layout.total, size, processes.world)):
        processes.stop_if_told()
        batch = next(batches, None)
        if batch is not None:
            batch = batch.to(feed.device)
            teacher = feed.decoder.decode(batch)
            for found in sums:
                found.add(batch, teacher)
    return [_means(setup, found, processes) for setup, found in zip(setups, sums, strict=True)]


class _Sums:
    """Sums and counts of every part of an objective."""

    def __init__(self, distillation: Distillation) -> None:
        self._distillation = distillation
        self.values = dict.fromkeys((part.name for part in distillation.parts), 0.0)
        self.counts = dict.fromkeys(self.values, 0)

    def add(self, batch: Batch, teacher: TeacherSignals) -> None:
        found, counts = self._distillation(batch, teacher), self._distillation.counts(batch)
        self.values = {name: value + float(found[name]) for name, value in self.values.items()}
        self.counts = {name: count + counts[name] for name, count in self.counts.items()}


def _rounds(examples: int, batch_size: int, world: int) -> int:
    """How many batches the process with the most has."""
    return ceil(ceil(examples / batch_size) / world)


def _means(setup: Setup, found: _Sums, processes: Processes) -> dict[str, float]:
    names = list(found.values)
    everywhere = processes.sum([*found.values.values(), *map(float, found.counts.values())])
    values, counts = everywhere[: len(names)], everywhere[len(names) :]
    if not counts or not counts[0]:
        return {}
    evaluation = setup.evaluation
    means = evaluation.term_means(dict(zip(names, values, strict=True)), dict(zip(names, counts, strict=True)))
    loss = sum(weight * means[term] for term, weight in setup.objective.weights.items())
    plain = {name: means[name] for name, term in evaluation.each_term() if term.validation_name is None}
    named = {term.validation_name: means[name] for name, term in evaluation.each_term() if term.validation_name}
    return {"loss": loss, **plain, **named}
