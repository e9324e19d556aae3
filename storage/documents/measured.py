"""Measurements of how faithful the cache is, in calibration and shards, in a form in which they can be added up."""

from collections.abc import Mapping
from dataclasses import dataclass

from .parse import Record
from .values import Bin, Counts, Natural, Number


@dataclass(frozen=True, kw_only=True, slots=True)
class Mean(Record):
    """A mean, as a sum and what to divide it by."""

    total: Number
    count: Natural


@dataclass(frozen=True, kw_only=True, slots=True)
class Spread(Mean):
    """A mean, in some places with a histogram of the values."""

    first_bin: Bin | None = None
    """The number of the first bin."""
    bins: Counts | None = None
    """The number of values in the first bin and in each one after it, divided by blanks."""


Fidelity = Mapping[str, Mapping[str, Spread]]
"""The measurements by site (or `logits`) and kind."""
