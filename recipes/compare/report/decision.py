"""Decide which of several students to take, from scores by seed, and never by more than the seeds show.

Criteria come in an order. Within one, candidates that are shown to be worse than the best are removed, until nobody is removed
any more. The next criterion looks only at the ones that are left, so the first one weighs more than all later ones together.

The seeds are blocks: a value is the sum of a candidate's level, a seed's level and noise. "Shown to be worse" means by more than
two margins. The first is Tukey's honestly significant difference over the candidates that are left, q(K, (K - 1) (S - 1)) s /
sqrt(S), where s^2 is the mean square of the noise. The second is the pair's own, by Student's t. It keeps a noisier row from a
wrong end. For two candidates both are the same. If nothing but noise separates the candidates, one of them
is removed at most at the stated rate, which the criteria share equally.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from statistics import fmean

from ....evaluation.scores.differences import (
    CONFIDENCE,
    EVEN,
    Difference,
    paired_difference,
    require_scipy,
    same_sign_shows,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Criterion:
    """One column by which candidates are compared."""

    name: str
    lower_is_better: bool = False
    values: Mapping[str, Mapping[int, float]]
    """The values by candidate and seed. A candidate that lacks a seed of the others cannot be compared."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """What one criterion showed."""

    criterion: str
    seeds: int
    best: str
    """The candidate with the best mean; the first of equals."""
    means: Mapping[str, float]
    behind: Mapping[str, Difference]
    """For every other candidate its distance to the best one, so that a positive mean says that the best is better."""
    left: tuple[str, ...]
    """The candidates that are not shown to be worse, the best mean first."""

    @property
    def removed(self) -> tuple[str, ...]:
        """The candidates that are shown to be worse."""
        return tuple(name for name in self.behind if name not in self.left)


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """The candidates that are left after all criteria, and how that came about."""

    left: tuple[str, ...]
    stages: tuple[Stage, ...]
    missing: Mapping[str, str] = field(default_factory=dict)
    """Why a candidate was not compared, by candidate."""

    @property
    def taken(self) -> str | None:
        """The one candidate that is left, if the seeds showed that; None if several are left, or if nothing was compared.

        None also while the first criterion has one seed, because it might decide otherwise.
        """
        shown = self.seeds > 1 and any(stage.removed for stage in self.stages)
        return self.left[0] if shown and len(self.left) == 1 else None

    @property
    def seeds(self) -> int:
        """The seeds of the first criterion; 0 if nothing was compared."""
        return self.stages[0].seeds if self.stages else 0


def decide(criteria: Sequence[Criterion], missing: Mapping[str, str] | None = None) -> Decision:
    """Compare the candidates of the first criterion, and those that it leaves by the next ones.

    A criterion that does not have a value for each candidate and seed that is left does not decide. Candidates in `missing` are
    not compared, and neither is one that lacks a seed of the first criterion; the decision names them.
    Raises ValueError for a value that is not finite.
    """
    for criterion in criteria:
        require_finite(criterion)
    reasons = dict(missing or {})
    if not criteria:
        return Decision(left=(), stages=(), missing=reasons)
    complete, lacking = _complete(criteria[0], reasons)
    reasons |= lacking
    left: tuple[str, ...] = tuple(complete)
    stages: list[Stage] = []
    for criterion in criteria:
        seeds = _seeds(criterion, left)
        if left and seeds and (len(left) > 1 or not stages):
            stage = compare(criterion, left, seeds, (1 - CONFIDENCE) / len(criteria))
            stages.append(stage)
            left = stage.left
    return Decision(left=left, stages=tuple(stages), missing=reasons)


def require_finite(criterion: Criterion) -> None:
    """Raise ValueError that names the first value that is not finite."""
    for name, values in criterion.values.items():
        for seed, value in values.items():
            if not math.isfinite(value):
                raise ValueError(f"{criterion.name} of {name}, seed {seed}, should be a finite number, not {value}")


def _complete(criterion: Criterion, reasons: Mapping[str, str]) -> tuple[list[str], dict[str, str]]:
    """Return the candidates with a value for every seed that any has, by name, and the reasons of the others."""
    here = {name: values for name, values in criterion.values.items() if name not in reasons}
    seeds = sorted({seed for values in here.values() for seed in values})
    lacking = {name: [seed for seed in seeds if seed not in values] for name, values in here.items()}
    complete = sorted(name for name, values in here.items() if values and not lacking[name])
    wanting = {
        name: f"no {criterion.name} of seed {', '.join(map(str, without))}" if without else f"no {criterion.name}"
        for name, without in lacking.items()
        if name not in complete
    }
    return complete, wanting


def _seeds(criterion: Criterion, names: Sequence[str]) -> list[int]:
    """Return the seeds of all named candidates; none if one of them lacks a seed of another."""
    sets = [set(criterion.values.get(name, {})) for name in names]
    return sorted(sets[0]) if sets and all(one == sets[0] for one in sets) else []


def compare(criterion: Criterion, names: Sequence[str], seeds: Sequence[int], alpha: float) -> Stage:
    """Remove those that are worse than the best, again and again, and return what was shown at the level `alpha`.

    A candidate that is removed no longer adds its noise to that of the others, so a row that went wrong does not hide the rest.
    """
    sign = -1.0 if criterion.lower_is_better else 1.0
    good = {name: [sign * criterion.values[name][seed] for seed in seeds] for name in names}
    order = sorted(names, key=lambda name: (-fmean(good[name]), name))
    best, left = order[0], list(order)
    behind: dict[str, Difference] = {}
    while len(left) > 1:
        margin = honest_margin([good[name] for name in left], alpha)
        behind |= {name: _behind(good[best], good[name], margin, alpha) for name in left[1:]}
        worse = [name for name in left[1:] if behind[name].is_shown]
        left = [name for name in left if name not in worse]
        if not worse:
            break
    means = {name: sign * fmean(good[name]) for name in order}
    return Stage(criterion=criterion.name, seeds=len(seeds), best=best, means=means, behind=behind, left=tuple(left))


def _behind(best: Sequence[float], other: Sequence[float], honest: float | None, alpha: float) -> Difference:
    """Return the distance to the best, with the wider of the two intervals."""
    own = paired_difference(best, other)
    if honest is None or own.margin is None:
        return own
    is_even = own.margin == 0.0 and not same_sign_shows([best[0] - other[0]] * own.seeds, alpha)
    return Difference(own.mean, max(honest, own.margin), own.seeds, is_even)


def honest_margin(rows: Sequence[Sequence[float]], alpha: float) -> float | None:
    """Return Tukey's honestly significant difference of rows whose i-th values come from one seed; None for one seed.

    It is 0 if all differences are the same in every seed, so that nothing is known about the noise.
    """
    count, seeds = len(rows), len(rows[0])
    if seeds < 2:
        return None
    total = fmean(value for row in rows for value in row)
    rises = [fmean(row[i] for row in rows) - total for i in range(seeds)]
    residuals = [value - fmean(row) - rise for row in rows for value, rise in zip(row, rises, strict=True)]
    freedom = (count - 1) * (seeds - 1)
    noise = math.sqrt(math.fsum(residual**2 for residual in residuals) / freedom)
    largest = max(abs(value) for row in rows for value in row)
    return 0.0 if noise <= EVEN * largest else quantile(alpha, count, freedom) * noise / math.sqrt(seeds)


@lru_cache(maxsize=512)
def quantile(alpha: float, count: int, freedom: int) -> float:
    """Return the upper quantile of the studentized range; for two rows from Student's t, which is much faster."""
    stats = require_scipy()
    if count == 2:
        return math.sqrt(2) * float(stats.t.ppf(1 - alpha / 2, freedom))
    return float(stats.studentized_range.ppf(1 - alpha, count, freedom))
