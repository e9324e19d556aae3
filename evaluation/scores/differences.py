"""Paired differences with intervals that say what so few seeds can show."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from ...errors import ConfigurationError

CONFIDENCE = 0.95
EVEN = 1e-9
"""A spread below this share of the values is the rounding of equal differences."""


@dataclass(frozen=True, slots=True)
class Difference:
    """The difference a - b of two rows, over the seeds of distillation that both have."""

    mean: float
    margin: float | None
    """Half the width of the interval; None for fewer than two seeds."""
    seeds: int
    is_even: bool = False
    """Whether all seeds gave the same difference, too few of them to show anything: the interval does not have a width."""

    @property
    def is_shown(self) -> bool:
        """Whether 0 is outside an interval that means something."""
        return self.margin is not None and abs(self.mean) > self.margin and not self.is_even


def paired_difference(a: Sequence[float], b: Sequence[float]) -> Difference:
    """Return the mean difference of two rows whose i-th values come from the same seed, with Student's t interval.

    Average over seeds of fine-tuning first: they share a student, so they are not further draws of the distillation.
    Raises ValueError for rows of different lengths, without values, or with one that is not finite.
    """
    if len(a) != len(b) or not a:
        raise ValueError(f"{len(a)} values cannot be paired with {len(b)}")
    if not all(map(math.isfinite, (*a, *b))):
        raise ValueError("a value that is not finite cannot be paired")
    differences = [one - other for one, other in zip(a, b, strict=True)]
    if len(differences) < 2:
        return Difference(differences[0], None, 1)
    spread = stdev(differences)
    if spread <= EVEN * max(map(abs, (*a, *b))):
        is_even = not same_sign_shows(differences, 1 - CONFIDENCE)
        return Difference(fmean(differences), 0.0, len(differences), is_even)
    quantile = float(require_scipy().t.ppf(0.5 + CONFIDENCE / 2, len(differences) - 1))
    return Difference(fmean(differences), quantile * spread / math.sqrt(len(differences)), len(differences))


def same_sign_shows(differences: Sequence[float], alpha: float) -> bool:
    """Whether equal differences are enough for a sign test: n coins fall on one side with probability 2^(1 - n).

    Scores of a small development set are few numbers, so two seeds often give the very same difference. An interval without a
    width would take that for certainty.
    """
    return differences[0] != 0 and 2.0 ** (1 - len(differences)) <= alpha


def interval_text(difference: Difference, digits: int, sign: bool = True) -> str:
    """Return a difference with its margin; one that is not shown says so, and its number is in brackets."""
    mean = f"{difference.mean:{'+' if sign else ''}.{digits}f}"
    if difference.margin is None:
        return f"not shown ({mean}, one seed)"
    if difference.is_even:
        return f"not shown ({mean} in each of {difference.seeds} seeds)"
    shown = f"{mean} ± {difference.margin:.{digits}f}"
    return shown if difference.is_shown else f"not shown ({shown})"


def require_scipy() -> Any:
    """Return scipy.stats. Raises ConfigurationError if it is not installed; ask before hours of training."""
    try:
        from scipy import stats
    except ImportError as error:
        raise ConfigurationError(f"intervals need scipy: pip install 'miniend[eval]' ({error})") from None
    return stats
