"""The interface of a loss term, and the registry of terms.

A term is a module. If it has parameters of its own, they train, are saved and resume with the student, and are exported in
a file beside it. Its buffers are saved too. A term returns sums, and `counts` returns, from the batch only, the numbers to divide
them by. Both are added up over micro-batches and processes before the division, so the loss does not depend on how a batch is
split.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from inspect import isabstract
from typing import Any, ClassVar, Self

from torch import Tensor, nn

from ...cache import Cache
from ...models.families import Family
from ...models.pruning.widths import Widths
from ...runtime.registry import Registry
from ...signals.logits.targets import LogitTarget
from ...signals.matching.target_statistics import Target, TargetStatistics
from ...signals.sites import Site
from ...signals.taps import Taps
from ..config import TrainConfig
from ..reading.batch import Batch
from ..reading.teacher_signals import TeacherSignals


@dataclass(frozen=True, slots=True)
class SitePair:
    """A site of the teacher, read from the cache, and the student's site that is compared with it."""

    teacher: Site
    student: Site


@dataclass(frozen=True, slots=True)
class TermContext:
    """The things that a term is built from."""

    config: TrainConfig
    """The options of the run."""
    objective: str
    """The name of the objective, for messages."""
    cache: Cache
    student: Any
    """The model in training, on its device, with its first weights."""
    family: Family
    candidates: Mapping[str, Widths] = field(default_factory=dict)
    """The candidates that the student's weights make, by name; empty for a student, which makes one."""

    @property
    def inner_widths(self) -> dict[str, int]:
        """The heads' common width, heads times d_kv, of the student or of each candidate by name."""
        config = self.student.config
        if not self.candidates:
            return {"student": int(config.num_heads * config.d_kv)}
        return {name: int(widths.heads * config.d_kv) for name, widths in self.candidates.items()}


class Term(nn.Module, ABC):
    """One loss, in nats or in the unit that its formula states."""

    parts: tuple[str, ...] = ("",)
    """The names of its summands, whose mean is the term; a single summand has the empty name."""
    pairs: tuple[SitePair, ...] = ()
    """The sites that it compares."""
    distributions: float | None = None
    """The temperature of the cached next-token distributions that it reads; None if it does not read any."""
    targets: tuple[Target, ...] = ()
    """The teacher's tensors whose statistics it starts from."""
    warnings: tuple[str, ...] = ()
    """What the user should know of it before it trains, a sentence each."""
    shows_parts: ClassVar[bool] = False
    """Whether metrics show its parts too."""
    trains_head: ClassVar[bool] = False
    """Whether it has a `target`, so that the student's head is trained."""
    reads_predictions: ClassVar[bool] = False
    """Whether it counts right predictions by `right`, which only validation measures. Then it has one part, ""."""

    depends_on_heads: ClassVar[bool] = False
    """Whether its own parameters have the width of the student's heads, so that candidates of other widths cannot share them."""

    validation_name: ClassVar[str | None] = None
    """Its name in validation; None if that is its name in the objective."""

    @classmethod
    @abstractmethod
    def build(cls, context: TermContext, options: Mapping[str, Any]) -> Self:
        """Return the term of a run; `options` are the options of its TermSpec.

        Raises CacheMismatchError, which says what to dump, if the cache lacks signals that the term needs.
        """

    def start(self, statistics: Mapping[Target, TargetStatistics]) -> None:
        """Take what it needs from the statistics of its targets, over the first training examples of the cache."""

    def beside(self, statistics: Mapping[Target, TargetStatistics]) -> Mapping[str, "Term"]:
        """Return what only validation measures, by the end of its name: started terms that share this one's parameters."""
        return {}

    def limits(self) -> Mapping[str, float]:
        """Return by part the value below which the error of the cache limits the student, where that is known."""
        return {}

    @abstractmethod
    def counts(self, batch: Batch) -> dict[str, int]:
        """Return by part the number that its sum over this batch is divided by."""

    def sums(self, taps: Taps, teacher: TeacherSignals, batch: Batch) -> dict[str, Tensor]:
        """Return by part the sum over this batch, a float32 scalar; called outside autocast.

        `taps` has the student's tensors by full name of the site, [batch, length, width] each.
        """
        return {}

    def target(self, teacher: TeacherSignals, batch: Batch) -> LogitTarget | None:
        """Return the target of the student's next-token distributions, for the one sweep over the head, or None."""
        return None

    def right(self, predicted: Tensor, batch: Batch) -> Tensor:
        """Return the number of right predictions, float32, given the likeliest id at each valid target position."""
        raise NotImplementedError

    @abstractmethod
    def formula(self) -> str:
        """Return one phrase that says how the term is computed, for the log and the model card."""

    def against(self) -> str:
        """Return the names of the teacher's sites that it compares with, for people; empty if it does not compare sites."""
        return ", ".join(dict.fromkeys(str(pair.teacher) for pair in self.pairs))


def _is_term(_name: str, entry: Any) -> bool:
    return isinstance(entry, type) and issubclass(entry, Term) and not isabstract(entry)


TERMS: Registry[type[Term]] = Registry(
    "loss term", "a class of miniend.Term that has build, counts and formula", _is_term
)
"""Kind of term -> its class."""

Terms = Mapping[str, Term]
"""The terms of one objective by name."""


def positions_of(batch: Batch) -> int:
    """Return the number of valid target positions."""
    return int(batch.valid[batch.label_axis].sum())
