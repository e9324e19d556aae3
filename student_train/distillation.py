"""The module that is trained: its forward runs the student with taps and returns the sums of the loss terms.

accelerate and DDP wrap this module instead of the student, so that every loss is computed inside the wrapped forward. It does
not know any term by name. Optimizer, clipping, probe and checkpoint ask it which parameters are trained.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..models.families import SpecialIds, family_of
from ..signals.logits.head_loss import head_loss_sums, likeliest_ids
from ..signals.taps import tapped
from .reading.batch import Batch
from .reading.teacher_signals import TeacherSignals
from .terms import Term, Terms
from .terms.contract import require_counts, require_some, require_sums, require_target

TERMS_PART = "terms"
"""The name of the part that holds the terms' own parameters."""


@dataclass(frozen=True, slots=True)
class Part:
    """One summand of a term."""

    term: str
    part: str

    @property
    def name(self) -> str:
        """The full name: `encoder_self.query`, or the term's name if the part does not have a name."""
        return f"{self.term}.{self.part}" if self.part else self.term


class Distillation(nn.Module):
    """forward(batch, teacher) -> the sum of every part of the objective, by its full name.

    The trained weights may make several models, the candidates (`sandwich.py`); a student's make one.
    """

    candidates: tuple[str, ...] = ("",)
    """The names of the models that the trained weights make, under which metrics have them; the name of a student is empty."""

    def __init__(self, student: Any, terms: Terms, weights: Mapping[str, float], special: SpecialIds) -> None:
        super().__init__()
        self.student = student
        self.terms = nn.ModuleDict(terms)
        self.family, self.weights, self.special = family_of(student), dict(weights), special
        self.parts = tuple(Part(name, part) for name, term in terms.items() for part in term.parts)

    def each_term(self) -> Iterator[tuple[str, Term]]:
        """Yield the terms with their names, in the order of the objective."""
        for name, term in self.terms.items():
            assert isinstance(term, Term)
            yield name, term

    def trained(self) -> list[tuple[str, nn.Parameter]]:
        """Return all trained parameters with their names: the student's, then the terms' own."""
        return [(name, parameter) for name, parameter in self.named_parameters() if parameter.requires_grad]

    def part_of(self, parameter: str) -> str:
        """Return the part of the student that a parameter belongs to, or TERMS_PART."""
        own = parameter.removeprefix("student.")
        return TERMS_PART if own == parameter else self.family.part_of(own)

    def counts(self, batch: Batch) -> dict[str, int]:
        """Return by part the number that its sum over this batch, from `forward`, is divided by."""
        counts = {name: require_counts(name, term, term.counts(batch)) for name, term in self.each_term()}
        return {one.name: counts[one.term][one.part] for one in self.parts}

    def total(self, sums: Mapping[str, Tensor], counts: Mapping[str, float]) -> Tensor:
        """Return the weighted loss: sum over terms of weight times the mean over the term's parts of sum / count."""
        shares = {one.name: self.share(one) / require_some(one.name, counts[one.name]) for one in self.parts}
        return torch.stack([sums[name] * share for name, share in shares.items()]).sum()

    def share(self, part: Part) -> float:
        """Return the part's factor in the loss: its term's weight, divided by the number of the term's parts."""
        return self.weights[part.term] / sum(other.term == part.term for other in self.parts)

    def term_means(self, sums: Mapping[str, float], counts: Mapping[str, float]) -> dict[str, float]:
        """Return the unweighted mean of every term, by its name."""
        means = {}
        for term in self.weights:
            parts = [one.name for one in self.parts if one.term == term]
            means[term] = sum(sums[name] / require_some(name, counts[name]) for name in parts) / len(parts)
        return means

    def part_means(self, sums: Mapping[str, float], counts: Mapping[str, float]) -> dict[str, float]:
        """Return the mean of every part of the terms that show them, by its full name."""
        shown = {name for name, term in self.each_term() if term.shows_parts}
        names = [part.name for part in self.parts if part.term in shown]
        return {name: sums[name] / require_some(name, counts[name]) for name in names}

    def candidates_of(self, _step: int) -> Sequence[int]:
        """Return the numbers of the candidates that a step trains, counted from 0."""
        return (0,)

    def forward(self, batch: Batch, teacher: TeacherSignals, candidate: int = 0) -> dict[str, Tensor]:
        """Return the sum of every part by its full name for one candidate, float32 scalars even under autocast."""
        assert candidate == 0, "a student is one model"
        given = self.family.given(batch.ids, self.special)
        sites = [pair.student for _, term in self.each_term() for pair in term.pairs]
        with tapped(self.student, sites) as taps:
            hidden = self.family.run(self.student, given, batch.valid)
        with torch.autocast(hidden.device.type, enabled=False):
            by_term = {
                name: require_sums(name, term, term.sums(taps, teacher, batch)) for name, term in self.each_term()
            }
        sums = {Part(name, part).name: value for name, parts in by_term.items() for part, value in parts.items()}
        return sums | self._head_sums(batch, teacher, hidden)

    def _head_sums(self, batch: Batch, teacher: TeacherSignals, hidden: Tensor) -> dict[str, Tensor]:
        """Return the losses on next-token distributions, from one sweep over the head that never forms all logits at once."""
        by_term = {name: require_target(name, term, term.target(teacher, batch)) for name, term in self.each_term()}
        targets = {name: target for name, target in by_term.items() if target is not None}
        choosing = {name: term for name, term in self.each_term() if term.reads_predictions}
        if not targets and not choosing:
            return {}
        weight, scale = self.family.head(self.student)
        positions = hidden[batch.valid[batch.label_axis]]
        values = head_loss_sums(positions, weight, scale, list(targets.values())).unbind() if targets else ()
        sums = dict(zip(targets, values, strict=True))
        if choosing:
            predicted = likeliest_ids(positions, weight)
            sums |= {name: term.right(predicted, batch) for name, term in choosing.items()}
        return sums
