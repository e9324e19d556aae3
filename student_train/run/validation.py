"""Validation losses of students in training. Every validation batch is read and decoded once for all students."""

from collections.abc import Sequence
from math import ceil

import torch

from ...runtime.progress import progress_bar
from ..distillation import Distillation
from ..reading.batch import Batch
from ..reading.loader import Share, in_order
from ..reading.teacher_signals import TeacherSignals
from .processes import Processes
from .setup import Setup


@torch.no_grad()
def evaluate(setups: Sequence[Setup], processes: Processes) -> list[dict[str, float]]:
    """Return the validation means of each student, computed in float32 even if training uses bfloat16.

    They are `loss` (the objective's weighted sum), every term, the parts of terms that show them, and `cross_entropy` (hard
    labels) if the head is trained; empty without validation examples. A sandwich has means over its candidates, and each
    candidate's own by `candidate.name`. The processes share the batches. Raises Stopped if one of them got a signal.
    """
    config, feed = setups[0].config, setups[0].feed
    sums = [[_Sums(setup.evaluation, one) for one in range(len(setup.evaluation.candidates))] for setup in setups]
    size = config.batch_size // (config.gradient_accumulation_steps * processes.world)
    batches = in_order(feed.validation, size, Share(processes.rank, processes.world))
    rounds = _rounds(feed.validation.layout.total, size, processes.world)
    with progress_bar("validation", rounds, "batch", shown=processes.main, kept=False) as bar:
        for _ in range(rounds):
            processes.stop_if_told()
            batch = next(batches, None)
            if batch is not None:
                batch = batch.to(feed.device)
                teacher = feed.decoder.decode(batch)
                for one in (one for own in sums for one in own):
                    one.add(batch, teacher)
            bar.update()
    return [
        _of_candidates(setup, [_means(setup, one, processes) for one in own])
        for setup, own in zip(setups, sums, strict=True)
    ]


def _of_candidates(setup: Setup, means: Sequence[dict[str, float]]) -> dict[str, float]:
    """Return the means over candidates by name, then each candidate's by `candidate.name`; of a student only its own."""
    names = setup.evaluation.candidates
    if names == ("",):
        return means[0]
    together = {name: sum(one[name] for one in means) / len(means) for name in means[0]}
    return together | {
        f"{who}.{name}": value for who, one in zip(names, means, strict=True) for name, value in one.items()
    }


class _Sums:
    """Sums and counts of every part of an objective, for one candidate."""

    def __init__(self, distillation: Distillation, candidate: int) -> None:
        self._distillation, self._candidate = distillation, candidate
        self.values = dict.fromkeys((part.name for part in distillation.parts), 0.0)
        self.counts = dict.fromkeys(self.values, 0)

    def add(self, batch: Batch, teacher: TeacherSignals) -> None:
        sums, counts = self._distillation(batch, teacher, self._candidate), self._distillation.counts(batch)
        self.values = {name: value + float(sums[name]) for name, value in self.values.items()}
        self.counts = {name: count + counts[name] for name, count in self.counts.items()}


def _rounds(examples: int, batch_size: int, world: int) -> int:
    """Return the number of batches of the process that has the most."""
    return ceil(ceil(examples / batch_size) / world)


def _means(setup: Setup, own: _Sums, processes: Processes) -> dict[str, float]:
    names = list(own.values)
    everywhere = processes.sum([*own.values.values(), *map(float, own.counts.values())])
    values, counts = everywhere[: len(names)], everywhere[len(names) :]
    if not counts or not counts[0]:
        return {}
    evaluation = setup.evaluation
    by_name = dict(zip(names, values, strict=True)), dict(zip(names, counts, strict=True))
    means = evaluation.term_means(*by_name)
    loss = sum(weight * means[term] for term, weight in setup.objective.weights.items())
    plain = {name: means[name] for name, term in evaluation.each_term() if term.validation_name is None}
    named = {term.validation_name: means[name] for name, term in evaluation.each_term() if term.validation_name}
    return {"loss": loss, **plain, **named, **evaluation.part_means(*by_name)}
