"""Hard labels."""

from collections.abc import Mapping
from typing import Any, Self

from ...signals.logits.targets import LogitTarget, label_target
from ..reading.batch import Batch
from ..reading.teacher_signals import TeacherSignals
from .term import TERMS, Term, TermContext, positions_of


@TERMS.register("labels")
class Labels(Term):
    """The cross-entropy of the student with the target tokens, in nats."""

    trains_head = True
    validation_name = "cross_entropy"

    @classmethod
    def build(cls, _context: TermContext, _options: Mapping[str, Any]) -> Self:
        return cls()

    def counts(self, batch: Batch) -> dict[str, int]:
        return {"": positions_of(batch)}

    def target(self, teacher: TeacherSignals, batch: Batch) -> LogitTarget:
        return label_target(batch.labels[batch.valid[batch.label_axis]])

    def formula(self) -> str:
        return "hard-label cross-entropy, mean over target positions"
