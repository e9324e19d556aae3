"""The share of right predictions: what validation can measure of a student beside its loss."""

from collections.abc import Mapping
from typing import Any, Self

from torch import Tensor

from ..reading.batch import Batch
from .term import Term, TermContext, positions_of


class Accuracy(Term):
    """The share of target tokens that the student thinks likeliest, given the target so far; of pairs, of whole targets.

    It is not a loss and does not have a name in TERMS. With `whole`, a target counts if all of its tokens are right.
    """

    reads_predictions = True

    def __init__(self, whole: bool) -> None:
        super().__init__()
        self.whole = whole

    @classmethod
    def build(cls, context: TermContext, _options: Mapping[str, Any]) -> Self:
        """Return the term for a cache: of pairs it counts whole targets."""
        return cls(context.cache.plan.task.kind == "pairs")

    def counts(self, batch: Batch) -> dict[str, int]:
        return {"": len(batch.examples) if self.whole else positions_of(batch)}

    def right(self, predicted: Tensor, batch: Batch) -> Tensor:
        valid = batch.valid[batch.label_axis]
        right = predicted == batch.labels[valid]
        if not self.whole:
            return right.sum().float()
        # the number of wrong tokens of each target
        wrong = (~right).float().new_zeros(len(valid)).index_add_(0, valid.nonzero()[:, 0], (~right).float())
        return (wrong == 0).sum().float()

    def formula(self) -> str:
        what = "targets all of whose tokens" if self.whole else "target tokens that"
        return f"share of {what} are the likeliest"
