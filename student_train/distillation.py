"""The module that is trained: its forward runs the student with taps open and returns the sums of the loss terms.

What accelerate and DDP wrap is this module, not the student, so that every loss is computed inside the wrapped forward. It
knows no term by name. Optimizer, clipping, probe and checkpoint ask it what is trained.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..models.families import SpecialIds, family_of
from ..signals.logits.head_loss import head_loss_sums
from ..signals.taps import tapped
from .reading.batch import Batch
from .reading.teacher_signals import TeacherSignals
from .terms import Term, Terms

TERMS_PART = "terms"
"""The part of the trained parameters that are the terms' own."""


@dataclass(frozen=True, slots=True)
class Part:
    """One summand of a term."""

    term: str
    part: str

    @property
    def name(self) -> str:
        """`encoder_self.query`, or the term's own name."""
        return f"{self.term}.{self.part}" if self.part else self.term


class Distillation(nn.Module):
    """forward(batch, teacher) -> sums of every part of the objective."""

    def __init__(self, student: Any, terms: Terms, weights: Mapping[str, float], special: SpecialIds) -> None:
        super().__init__()
        self.student = student
        self.terms = nn.ModuleDict(terms)
        self.family, self.weights, self.special = family_of(student), dict(weights), special
        self.parts = tuple(Part(name, part) for name, term in terms.items() for part in term.parts)

    def each_term(self) -> Iterator[tuple[str, Term]]:
        """The terms by name, in the order of the objective."""
        for name, term in self.terms.items():
            assert isinstance(term, Term)
            yield name, term

    def trained(self) -> list[tuple[str, nn.Parameter]]:
        """Everything that is trained, by name: the student's parameters, then the terms' own."""
        return [(name, parameter) for name, parameter in self.named_parameters() if parameter.requires_grad]

    def part_of(self, parameter: str) -> str:
        """The part of the student that a parameter belongs to, or TERMS_PART."""
        own = parameter.removeprefix("student.")
        return TERMS_PART if own == parameter else self.family.part_of(own)

    def counts(self, batch: Batch) -> dict[str, int]:
        """By part, what the sum of `forward` over this batch is divided by."""
        found = {name: term.counts(batch) for name, term in self.each_term()}
        return {one.name: found[one.term][one.part] for one in self.parts}

    def total(self, sums: Mapping[str, Tensor], counts: Mapping[str, float]) -> Tensor:
        """The weighted loss: per term the mean over its parts of sum / count."""
        return torch.stack([sums[one.name] * (self.share(one) / counts[one.name]) for one in self.parts]).sum()

    def share(self, part: Part) -> float:
        """The part's factor in the loss: its term's weight, divided among the term's parts."""
        return self.weights[part.term] / sum(other.term == part.term for other in self.parts)

    def term_means(self, sums: Mapping[str, float], counts: Mapping[str, float]) -> dict[str, float]:
        """The unweighted mean of every term."""
        means = {}
        for term in self.weights:
            parts = [one.name for one in self.parts if one.term == term]
            means[term] = sum(sums[name] / counts[name] for name in parts) / len(parts)
        return means

    def forward(self, batch: Batch, teacher: TeacherSignals) -> dict[str, Tensor]:
        """Sums by part name; float32 whatever the autocast."""
        given = self.family.given(batch.ids, self.special)
        sites = [pair.student for _, term in self.each_term() for pair in term.pairs]
        with tapped(self.student, sites) as taps:
            hidden = self.family.run(self.student, given, batch.valid)
        with torch.autocast(hidden.device.type, enabled=False):
            found = {name: term.sums(taps, teacher, batch) for name, term in self.each_term()}
        sums = {Part(name, part).name: value for name, parts in found.items() for part, value in parts.items()}
        return sums | self._head_sums(batch, teacher, hidden)

    def _head_sums(self, batch: Batch, teacher: TeacherSignals, hidden: Tensor) -> dict[str, Tensor]:
        """The losses on next-token distributions, in one sweep over the head, which never forms all logits at once."""
        found = {name: term.target(teacher, batch) for name, term in self.each_term()}
        targets = {name: target for name, target in found.items() if target is not None}
        if not targets:
            return {}
        weight, scale = self.family.head(self.student)
        positions = hidden[batch.valid[batch.label_axis]]
        values = head_loss_sums(positions, weight, scale, list(targets.values()))
        return dict(zip(targets, values.unbind(), strict=True))
