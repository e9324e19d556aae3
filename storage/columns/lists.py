"""Ragged lists of integers as one flat column, in the order in which they compress best; we do not code them ourselves.

A column of lists comes with their sizes [n]. In memory the lists are end to end. On disk:

- *by place*: the first entry of every list, then the second of every list that has two, and so on, because entries of
  one place resemble each other.
- *sets*: each list ascends and is stored as gaps (the first one from 0). Gaps are grouped by the number of entries still to
  come in their list, the largest number first. A gap is small if many entries follow. Within a group the gaps are sorted
  (stably) by the entry before the gap, because gaps grow with it. A reader already knows these entries when it reaches the
  group, so the order costs nothing.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

Integers = np.ndarray[Any, np.dtype[Any]]


def starts_of(sizes: Integers) -> Integers:
    """Return where each list begins if they are end to end, with the total as last element: int64 [n + 1]."""
    return np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])


def by_place(values: Integers, sizes: Integers) -> Integers:
    """Return end-to-end entries [total] in the order of their place in the list."""
    return values[_place_order(sizes)]


def from_places(stored: Integers, sizes: Integers) -> Integers:
    """Return end-to-end entries [total] from the order by place; this is the inverse of `by_place`."""
    values = np.empty_like(stored)
    values[_place_order(sizes)] = stored
    return values


def set_gaps(values: Integers, sizes: Integers) -> Integers:
    """Return the stored gaps, int64 and not negative, of end-to-end lists [total] that each ascend (repeats allowed)."""
    before = np.concatenate([[0], values[:-1]]).astype(np.int64)
    before[starts_of(sizes)[:-1][sizes > 0]] = 0
    gaps = values - before
    return np.concatenate([gaps[at[_by(before[at])]] for at in _groups(sizes)] or [gaps[:0]])


def from_set_gaps(stored: Integers, sizes: Integers) -> Integers:
    """Return the end-to-end lists [total] of some stored gaps; this is the inverse of `set_gaps`."""
    values = np.zeros(len(stored) + 1, np.int64)
    first = starts_of(sizes)[:-1]
    begun = 0
    for at in _groups(sizes):
        before = np.where(np.isin(at, first), 0, values[at - 1])
        order = _by(before)
        values[at[order]] = before[order] + stored[begun : begun + len(at)]
        begun += len(at)
    return values[:-1]


def _place_order(sizes: Integers) -> Integers:
    """Return positions in the end-to-end order, sorted by place; within a place the lists keep their order."""
    starts = starts_of(sizes)
    place = np.arange(starts[-1]) - np.repeat(starts[:-1], sizes)
    return np.argsort(place, kind="stable")


def _groups(sizes: Integers) -> Iterator[Integers]:
    """Yield the positions, in the end-to-end order, of the entries with equally many entries to come, the most first."""
    stops = starts_of(sizes)[1:]
    for left in range(int(sizes.max(initial=0)), 0, -1):
        yield stops[sizes >= left] - left


def _by(before: Integers) -> Integers:
    return np.argsort(before, kind="stable")
