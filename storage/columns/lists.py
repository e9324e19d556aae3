"""Ragged lists of integers as one flat column, in the order in which they compress best; no coder of our own.

A column of lists comes with their sizes [n]. In memory the lists lie end to end. On disk:

- *by place*: first the first entry of every list, then the second of every list that has two, and so on, because entries of
  one place resemble each other.
- *sets*: each list ascending, stored as gaps (the first one from 0), by the number of entries that are still to come, the
  most first, because the gap to the next of many is small. Within one such group they are sorted by the entry before the
  gap (stably), because gaps grow with it. A reader knows that entry when it comes to the group, so the order costs nothing.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

Integers = np.ndarray[Any, np.dtype[Any]]


def starts_of(sizes: Integers) -> Integers:
    """Where each list begins when they lie end to end, with the total as last element: int64 [n + 1]."""
    return np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])


def by_place(values: Integers, sizes: Integers) -> Integers:
    """Entries [total], end to end, in the order of their place in the list."""
    return values[_place_order(sizes)]


def from_places(stored: Integers, sizes: Integers) -> Integers:
    """The inverse of `by_place`."""
    values = np.empty_like(stored)
    values[_place_order(sizes)] = stored
    return values


def set_gaps(values: Integers, sizes: Integers) -> Integers:
    """The stored gaps of lists [total] that each ascend (repeats allowed), non-negative, int64."""
    before = np.concatenate([[0], values[:-1]]).astype(np.int64)
    before[starts_of(sizes)[:-1][sizes > 0]] = 0
    gaps = values - before
    return np.concatenate([gaps[at[_by(before[at])]] for at in _groups(sizes)] or [gaps[:0]])


def from_set_gaps(stored: Integers, sizes: Integers) -> Integers:
    """The inverse of `set_gaps`."""
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
    """Positions in the end-to-end order, by place; a stable sort, so lists keep their order within a place."""
    starts = starts_of(sizes)
    place = np.arange(starts[-1]) - np.repeat(starts[:-1], sizes)
    return np.argsort(place, kind="stable")


def _groups(sizes: Integers) -> Iterator[Integers]:
    """Positions in the end-to-end order of the entries that have as many entries to come, the most first."""
    stops = starts_of(sizes)[1:]
    for left in range(int(sizes.max(initial=0)), 0, -1):
        yield stops[sizes >= left] - left


def _by(before: Integers) -> Integers:
    return np.argsort(before, kind="stable")
