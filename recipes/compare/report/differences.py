"""Paired differences between rows, with intervals that say what so few seeds can show."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from ....errors import ConfigurationError

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Difference:
    """The difference a - b of two rows, over the seeds of distillation that both have."""

    mean: float
    margin: float | None
    """Half the width of the 95 % interval; None for fewer than two seeds."""
    seeds: int

    @property
    def is_shown(self) -> bool:
        """Whether 0 is outside the interval."""
        return self.margin is not None and abs(self.mean) > self.margin


def paired_difference(a: Sequence[float], b: Sequence[float]) -> Difference:
    """Return the mean difference of two rows whose i-th values come from the same seed, with Student's t interval.

    Average over seeds of fine-tuning first: they share a student, so they are not further draws of the distillation.
    Raises ValueError for rows of different lengths or without values.
    """
    if len(a) != len(b) or not a:
        raise ValueError(f"{len(a)} values cannot be paired with {len(b)}")
    differences = [one - other for one, other in zip(a, b, strict=True)]
    if len(differences) < 2:
        return Difference(differences[0], None, 1)
    quantile = float(require_scipy().t.ppf(0.5 + CONFIDENCE / 2, len(differences) - 1))
    return Difference(fmean(differences), quantile * stdev(differences) / math.sqrt(len(differences)), len(differences))


def require_scipy() -> Any:
    """Return scipy.stats. Raises ConfigurationError if it is not installed; ask before hours of training."""
    try:
        from scipy import stats
    except ImportError as error:
        raise ConfigurationError(f"intervals need scipy: pip install 'miniend[eval]' ({error})") from None
    return stats
