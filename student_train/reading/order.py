"""The order of examples: a pure function of (seed, epoch) and of what the cache's markers say.

An epoch lays its shards, in random order, end to end on a circle, a shard taking as much of it as it takes memory, and
gives every example a random place in the window that begins with its shard; the places are the order. Memory holds
what has begun and is not yet due, half a window on average. Where the window is the circle, the order is a uniform permutation.
Windows that reach over the end of the epoch go on at its beginning, so their shards are read twice.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from heapq import merge

import numpy as np

BUDGET = 256_000_000
"""Bytes of memory for examples that wait for their turn."""
PLANNED = 0.8
"""Part of the budget that an order may count on; the rest lets reading run ahead."""
EXPANSION = 1.3
"""Bytes of memory per stored byte that an order counts with."""
OVERHEAD = 500
"""The same per example, whatever it holds."""

Integers = np.ndarray[tuple[int], np.dtype[np.int64]]


@dataclass(frozen=True, slots=True)
class Layout:
    """What of a split its order depends on."""

    examples: tuple[int, ...]
    """Of each shard."""
    stored: tuple[int, ...]
    """Bytes of each shard, all its columns: the order is the same for every objective."""
    budget: int = BUDGET

    @property
    def total(self) -> int:
        """Examples of the split; the number of an example counts them in the order of the shards."""
        return sum(self.examples)

    @property
    def starts(self) -> Integers:
        """The number of each shard's first example, and the total."""
        return np.concatenate([[0], np.cumsum(self.examples, dtype=np.int64)])

    @property
    def costs(self) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """Bytes of memory that each shard is taken to need."""
        return EXPANSION * np.array(self.stored, np.float64) + OVERHEAD * np.array(self.examples, np.float64)

    @property
    def resident(self) -> bool:
        """Whether all examples can stay in memory."""
        return float(self.costs.sum()) <= PLANNED * self.budget


@dataclass(frozen=True, slots=True)
class Load:
    """Examples of one shard to be read together."""

    due: int
    """The visit at which a steady flow begins to read them."""
    shard: int
    visits: Integers
    """Ascending: when each of the examples is taken, counted over all epochs."""


@dataclass(frozen=True, slots=True)
class Epoch:
    """One pass over a split."""

    order: Integers
    """Numbers of examples, in the order in which they are visited"""
    ranks: Integers
    """Its inverse: when an example is visited"""
    begins: Integers
    """By shard: the visit at which its window begins"""
    wrapped: np.ndarray[tuple[int], np.dtype[np.bool_]]
    """By number of the example: whether its place lies beyond the end of the circle"""


def epoch_order(layout: Layout, seed: int, epoch: int) -> Epoch:
    """The order of one epoch."""
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence(seed, spawn_key=(0, epoch))))
    costs, shards = layout.costs, rng.permutation(len(layout.examples))
    circle = float(costs.sum())
    begins = np.empty_like(costs)
    begins[shards] = np.cumsum(costs[shards]) - costs[shards]
    window = min(circle, 2 * PLANNED * layout.budget)
    places = np.repeat(begins, layout.examples) + window * rng.random(layout.total)
    wrapped = places >= circle
    order = np.argsort(places - circle * wrapped, kind="stable")
    ranks = np.empty_like(order)
    ranks[order] = np.arange(len(order))
    return Epoch(order, ranks, (begins / circle * layout.total).astype(np.int64), wrapped)


class Visits:
    """The endless stream of epochs, from its visit number `first` on: who is visited, and what to read for it when."""

    def __init__(self, layout: Layout, seed: int, first: int) -> None:
        self.layout, self._first = layout, first
        self._starts, self._total = layout.starts, layout.total
        self._epoch = lru_cache(maxsize=4)(partial(epoch_order, layout, seed))

    def numbers(self, visits: Integers) -> Integers:
        """The examples that are visited then."""
        epochs, within = np.divmod(visits, self._total)
        found = np.empty_like(visits)
        for epoch in np.unique(epochs).tolist():
            found[epochs == epoch] = self._epoch(epoch).order[within[epochs == epoch]]
        return found

    def shard(self, number: int) -> int:
        """The shard of an example."""
        return int(np.searchsorted(self._starts, number, side="right")) - 1

    def within(self, load: Load) -> Integers:
        """Where in its shard the examples of a load lie."""
        found: Integers = self.numbers(load.visits) - self._starts[load.shard]
        return found

    def next_visit(self, visit: int) -> int:
        """When the example of this visit is visited in the next epoch."""
        epoch, within = divmod(visit, self._total)
        return (epoch + 1) * self._total + int(self._epoch(epoch + 1).ranks[self._epoch(epoch).order[within]])

    def loads(self) -> Iterator[Load]:
        """What to read, ordered by `due`: of a resident split every shard once, of others epoch by epoch without end."""
        if self.layout.resident:
            yield from sorted(self._first_visits(), key=_due)
            return
        first = self._first // self._total
        for epoch in range(first, 2**62):
            after = self._epoch_loads(epoch + 1, wrapped=True)  # which are due before this epoch ends
            current = self._epoch_loads(epoch, wrapped=False)
            before = self._epoch_loads(epoch, wrapped=True) if epoch == first else []
            yield from merge(before, current, after, key=_due)

    def _first_visits(self) -> Iterator[Load]:
        epoch, within = divmod(self._first, self._total)
        ranks = self._epoch(epoch).ranks
        visits = epoch * self._total + ranks
        if within:
            visits = np.where(ranks >= within, visits, (epoch + 1) * self._total + self._epoch(epoch + 1).ranks)
        for shard, (start, stop) in enumerate(zip(self._starts[:-1], self._starts[1:], strict=True)):
            own = np.sort(visits[start:stop])
            yield Load(int(own[0]), shard, own)

    def _epoch_loads(self, epoch: int, wrapped: bool) -> list[Load]:
        found, loads = self._epoch(epoch), []
        visits = np.where(found.wrapped == wrapped, epoch * self._total + found.ranks, -1)
        for shard, (start, stop) in enumerate(zip(self._starts[:-1], self._starts[1:], strict=True)):
            own = np.sort(visits[start:stop])
            own = own[np.searchsorted(own, max(self._first, 0)) :]
            if len(own):
                due = (epoch - wrapped) * self._total + int(found.begins[shard])
                loads.append(Load(min(due, int(own[0])), shard, own))
        return sorted(loads, key=_due)


def _due(load: Load) -> int:
    return load.due
