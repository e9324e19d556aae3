"""The teacher's next-token distributions."""

from collections.abc import Mapping
from typing import Any, Self

from ...cache import Cache
from ...errors import CacheMismatchError
from ...signals.choices import FROM_HIDDEN
from ...signals.logits.targets import LogitTarget, cached_target
from ..reading.batch import Batch
from ..reading.teacher_signals import TeacherSignals
from .term import TERMS, Term, TermContext, positions_of

READ = {
    "sampled": "an expectation over drawn tokens",
    "hybrid": "exact for its most probable tokens and an expectation over draws for the others",
    "top-k": "of its most probable tokens and all others as one",
    FROM_HIDDEN: "of all tokens",
}
"""How the KL is formed of each kind of stored distribution, for people."""


@TERMS.register("logits")
class Logits(Term):
    """KL(teacher || student) of the cached distributions, in nats.

    At temperature T it is T^2 KL(p^(1/T) || q^(1/T)), with both powers normalized (Hinton et al. 2015, section 2). At
    temperature 1 its gradient is that of the soft cross-entropy.
    """

    trains_head = True

    def __init__(self, temperature: float, kind: str) -> None:
        """`kind` is what the cache holds of the distributions, one of `READ`."""
        super().__init__()
        self.distributions = temperature
        self._kind = kind

    @classmethod
    def build(cls, context: TermContext, _options: Mapping[str, Any]) -> Self:
        kind = _require_logits(context.objective, context.cache, context.config.temperature)
        return cls(context.config.temperature, kind)

    def counts(self, batch: Batch) -> dict[str, int]:
        return {"": positions_of(batch)}

    def target(self, teacher: TeacherSignals, batch: Batch) -> LogitTarget:
        assert self.distributions is not None
        return cached_target(teacher.logits[self.distributions], self.distributions)

    def formula(self) -> str:
        tempered = (
            "" if self.distributions == 1 else f", at temperature {self.distributions:g}, multiplied by its square"
        )
        return (
            f"KL from the teacher's next-token distribution to the student's, {READ[self._kind]}, mean over target positions"
            + tempered
        )


def _require_logits(objective: str, cache: Cache, temperature: float) -> str:
    """Return the kind of the cache's distributions, or raise CacheMismatchError if it has none at this temperature."""
    logits = cache.plan.signals.logits
    if logits is None:
        raise CacheMismatchError(
            f"objective {objective} needs logits, which {cache.path} was dumped without (--logits none)"
        )
    if not logits.has(temperature):
        names = ", ".join(f"{one:g}" for one in (1.0, *logits.temperatures))
        raise CacheMismatchError(
            f"--temperature {temperature:g}: {cache.path} has logits at temperature {names}; "
            "dump with --logits from-hidden for all others, or with --logits top-k and --temperature for some"
        )
    return logits.kind
