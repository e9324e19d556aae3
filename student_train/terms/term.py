"""What a loss term answers, and the registry of terms.

A term is a module: its own parameters, if it has any, train, are saved and resume with the student, and none of them is
exported. It returns sums; `counts` says beforehand, from the batch only, by what to divide them. Summing both over
micro-batches and processes before dividing makes a loss independent of how a batch is split.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from torch import Tensor, nn

from ...cache import Cache
from ...models.families import Family
from ...runtime.registry import Registry
from ...signals.logits.targets import LogitTarget
from ...signals.sites import Site
from ...signals.taps import Taps
from ..config import TrainConfig
from ..reading.batch import Batch
from ..reading.teacher_signals import TeacherSignals


@dataclass(frozen=True, slots=True)
class SitePair:
    """A site of the teacher, which is read from the cache, and the site of the student that is compared with it."""

    teacher: Site
    student: Site


@dataclass(frozen=True, slots=True)
class TermContext:
    """What a term is built from."""

    config: TrainConfig
    """The options of the run."""
    objective: str
    """The name of the objective, for messages."""
    cache: Cache
    student: Any
    """The model in training, on its device; its parameters are as they start."""
    family: Family


class Term(nn.Module, ABC):
    """One loss, in nats or in whatever unit its formula says."""

    parts: tuple[str, ...] = ("",)
    """The names of its summands, whose mean is the term; one without a name where there is but one."""
    pairs: tuple[SitePair, ...] = ()
    """The sites that it compares."""
    distributions: float | None = None
    """The temperature of the cached next-token distributions that it reads; None where it reads none."""
    trains_head: ClassVar[bool] = False
    """Whether it has a `target`, so that the student's head is trained."""

    validation_name: ClassVar[str | None] = None
    """What validation calls it, where that is not its name in the objective."""

    @classmethod
    @abstractmethod
    def build(cls, context: TermContext, options: Mapping[str, Any]) -> Self:
        """Make the term of a run; `options` are those of its TermSpec.

        Raises CacheMismatchError, saying what to dump, where the cache lacks what the term needs.
        """

    @abstractmethod
    def counts(self, batch: Batch) -> dict[str, int]:
        """By part, what its sum over this batch is divided by."""

    def sums(self, taps: Taps, teacher: TeacherSignals, batch: Batch) -> dict[str, Tensor]:
        """By part, the sum over this batch, float32; called outside autocast.

        `taps` has the student's tensors by full name of the site, [batch, length, width].
        """
        return {}

    def target(self, teacher: TeacherSignals, batch: Batch) -> LogitTarget | None:
        """What the student's next-token distributions are compared with, in the one sweep over the head."""
        return None

    @abstractmethod
    def formula(self) -> str:
        """One phrase that says how the term is computed, for the log and the model card."""

    def against(self) -> str:
        """The teacher's sites that it is compared with, for people; empty where there are none."""
        return ", ".join(dict.fromkeys(str(pair.teacher) for pair in self.pairs))


TERMS: Registry[type[Term]] = Registry("loss term")
"""Kind of term -> its class."""

Terms = Mapping[str, Term]
"""The terms of one objective by name."""


def positions_of(batch: Batch) -> int:
    """The number of valid target positions."""
    return int(batch.valid[batch.label_axis].sum())
