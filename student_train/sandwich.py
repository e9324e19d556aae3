"""The sandwich: models of several widths that train together as prefixes of one set of weights (MiniDisc, arXiv 2205.14570).

The trained weights, the master, have the size of the largest candidate. Every other candidate takes the first heads and neurons
of each of its matrices. A candidate runs as a plain transformers model: its skeleton is on the meta device, and each forward
lends it slices of the master, through which the gradients reach the master.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from torch import Tensor
from torch.func import functional_call

from ..cache import Cache
from ..errors import ConfigurationError
from ..models.families import SpecialIds, family_of
from ..models.pruning.prefix import Slices, prefix_of, prefix_slices, skeleton_of
from ..models.pruning.widths import Widths, kept_widths, widths_of
from ..models.start.starting import switch_off_dropout
from .config import ACCURACY, INFORMATION, KL
from .distillation import Distillation
from .objective import Objective
from .reading.batch import Batch
from .reading.teacher_signals import TeacherSignals
from .terms import TERMS, Term, TermContext, Terms
from .terms.accuracy import Accuracy

DRAWS = 0x5A4D
"""A number that tells the draws of candidates from others that depend on the seed too."""


def name_of(keep: float) -> str:
    """Return the name of the candidate that keeps a fraction, such as `keep-0.5`, in metrics and folders."""
    return f"keep-{keep:g}"


def widths_by_name(keeps: Sequence[float], cache: Cache, config: Any) -> dict[str, Widths]:
    """Return the widths of the candidates of a cache's teacher, by name, the largest first.

    `config` is the transformers configuration of a model of the teacher's family. Raises ConfigurationError if two fractions
    leave the same widths.
    """
    stated = cache.plan.teacher.config
    known = {name: stated[name] for name in ("num_heads", "d_ff") if stated.get(name) is not None}
    full = widths_of(type(config)(**known))  # the family's defaults for what config.json leaves out
    found = {name_of(keep): kept_widths(full, keep) for keep in sorted(keeps, reverse=True)}
    by_widths: dict[Widths, str] = {}
    for name, widths in found.items():
        if widths in by_widths:
            raise ConfigurationError(
                f"--keep: {by_widths[widths]} and {name} both leave {widths.heads} heads and {widths.d_ff} neurons of this "
                "teacher; leave one of them out"
            )
        by_widths[widths] = name
    return found


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A model of its own widths that does not have weights of its own."""

    distillation: Distillation
    slices: Slices


class Sandwich(Distillation):
    """forward(batch, teacher, candidate) -> the sums of one candidate, computed with slices of the master's weights.

    The candidates share the terms, with their parameters.
    """

    def __init__(
        self,
        student: Any,
        terms: Terms,
        weights: Mapping[str, float],
        special: SpecialIds,
        widths: Mapping[str, Widths],
        sampled: tuple[int | None, int] = (None, 0),
    ) -> None:
        """`widths` has the largest candidate first; `sampled` is the number of candidates that a step draws, and the seed."""
        super().__init__(student, terms, weights, special)
        self.candidates = tuple(widths)
        self._sample, self._seed = sampled
        # a tuple, so that the skeletons are not parts of this module, with parameters that nothing trains
        self._made = tuple(self._candidate(one, terms, weights, special) for one in widths.values())

    def _candidate(self, widths: Widths, terms: Terms, weights: Mapping[str, float], special: SpecialIds) -> _Candidate:
        names = [name for name, _ in self.student.named_parameters()]
        skeleton = switch_off_dropout(skeleton_of(self.student, widths))
        slices = prefix_slices(family_of(self.student), names, self.student.config.d_kv, widths)
        return _Candidate(Distillation(skeleton, terms, weights, special), slices)

    def candidates_of(self, step: int) -> Sequence[int]:
        """Return all candidates, or the largest, the smallest and the drawn ones, from the largest to the smallest."""
        last = len(self._made) - 1
        if self._sample is None or self._sample >= last - 1:
            return range(last + 1)
        drawn = np.random.default_rng((DRAWS, self._seed, step)).choice(range(1, last), self._sample, replace=False)
        return [0, *sorted(map(int, drawn)), last]

    def forward(self, batch: Batch, teacher: TeacherSignals, candidate: int = 0) -> dict[str, Tensor]:
        """Return the sum of every part by its full name for one candidate, float32 scalars even under autocast."""
        one = self._made[candidate]
        # named_parameters has a tied embedding once, as functional_call wants it
        lent = prefix_of(dict(self.student.named_parameters()), one.slices)
        # contiguous, because products with columns of a wider matrix are summed in another order than a checkpoint's
        named = {f"student.{name}": tensor.contiguous() for name, tensor in lent.items()}
        sums: dict[str, Tensor] = functional_call(one.distillation, named, (batch, teacher))
        return sums


def require_fit(context: TermContext, objective: Objective, terms: Terms) -> None:
    """Raise ConfigurationError for an objective that does not train the head, or whose maps depend on a candidate's width."""
    if not any(term.trains_head for term in terms.values()):
        raise ConfigurationError(
            f"objective {objective.name} does not train the head, so candidates do not have a score; add a term on "
            "next-token distributions, such as --weight logits=1 or --weight labels=1 to hidden"
        )
    inner = {*context.inner_widths.values()}
    for name, term in terms.items():
        if len(inner) > 1 and term.depends_on_heads:
            raise ConfigurationError(
                f"loss term {name} learns maps whose width is that of the heads, which differs among the candidates, "
                f"{', '.join(map(str, sorted(inner)))}; choose an objective whose terms candidates can share, such as "
                "miniend-e or hidden"
            )


def measured_for(score: str | None, context: TermContext) -> dict[str, Term]:
    """Return the terms by name that validation measures so that candidates can be compared by a score."""
    return {name: build(context) for name, build in _MEASURED[score].items()}


def _kl(context: TermContext) -> Term:
    if context.config.temperature != 1.0:
        raise ConfigurationError(
            f"--score {KL} compares distributions at temperature 1, not {context.config.temperature:g}; leave --temperature out"
        )
    return TERMS["logits"].build(context, {})


_MEASURED: Mapping[str | None, Mapping[str, Any]] = {
    None: {},
    INFORMATION: {},
    ACCURACY: {"accuracy": partial(Accuracy.build, _options={})},
    KL: {"logits": _kl},
}
