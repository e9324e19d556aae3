"""The order of examples: a pure function of (seed, epoch) and the numbers in the cache's markers.

In each epoch, the shards are shuffled and laid around a circle, each taking an arc proportional to its size in memory. Each
example gets a random position in a window starting at its shard. Reading the circle in order gives the epoch. Memory holds the
examples whose window has started and whose position is still ahead: half a window on average. If the window is the whole circle,
the order is a uniform permutation. A window that reaches over the end of the circle continues at its start, so such a shard is
read twice.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from heapq import merge

import numpy as np

BUDGET = 256_000_000
"""The bytes of memory for examples that wait for their turn."""
PLANNED = 0.8
"""The part of the budget that an order may use; the rest lets reading run ahead."""
EXPANSION = 1.3
"""The bytes of memory that an order assumes per stored byte."""
OVERHEAD = 500
"""The bytes of memory that an order assumes per example in addition."""

Integers = np.ndarray[tuple[int], np.dtype[np.int64]]


@dataclass(frozen=True, slots=True)
class Layout:
    """The facts of a split that decide its order."""

    examples: tuple[int, ...]
    """The number of examples of each shard."""
    stored: tuple[int, ...]
    """The bytes of all columns of each shard, so that the order is the same for every objective."""
    budget: int = BUDGET

    @property
    def total(self) -> int:
        """The number of examples of the split. Examples are numbered from 0 in the order of the shards."""
        return sum(self.examples)

    @property
    def starts(self) -> Integers:
        """The number of each shard's first example, and the total."""
        return np.concatenate([[0], np.cumsum(self.examples, dtype=np.int64)])

    @property
    def costs(self) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """The bytes of memory that each shard is assumed to need, [shards]."""
        return EXPANSION * np.array(self.stored, np.float64) + OVERHEAD * np.array(self.examples, np.float64)

    @property
    def resident(self) -> bool:
        """Whether all examples can stay in memory."""
        return float(self.costs.sum()) <= PLANNED * self.budget


@dataclass(frozen=True, slots=True)
class Load:
    """Examples of one shard to be read together."""

    due: int
    """The visit at which a steady reader starts to read them."""
    shard: int
    visits: Integers
    """The visits at which the examples are taken, ascending, counted over all epochs."""


@dataclass(frozen=True, slots=True)
class Epoch:
    """One pass over a split."""

    order: Integers
    """The numbers of the examples, in the order in which they are visited."""
    ranks: Integers
    """The inverse of `order`: when each example is visited, by its number."""
    begins: Integers
    """The visit at which the window of each shard starts."""
    wrapped: np.ndarray[tuple[int], np.dtype[np.bool_]]
    """Whether each example's position is beyond the end of the circle, by its number."""


def epoch_order(layout: Layout, seed: int, epoch: int) -> Epoch:
    """Return the order of one epoch."""
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence(seed, spawn_key=(0, epoch))))
    costs, shards = layout.costs, rng.permutation(len(layout.examples))
    # C = sum of all costs;  begin_s = sum of the costs of the shards before s in the shuffled order
    circle = float(costs.sum())
    begins = np.empty_like(costs)
    begins[shards] = np.cumsum(costs[shards]) - costs[shards]
    # W = min(C, 2 PLANNED budget): memory holds W/2 bytes on average, at most the planned part of the budget
    window = min(circle, 2 * PLANNED * layout.budget)
    # place = begin_s + W u,  u uniform in [0, 1);  the order sorts place mod C
    places = np.repeat(begins, layout.examples) + window * rng.random(layout.total)
    wrapped = places >= circle
    order = np.argsort(places - circle * wrapped, kind="stable")
    ranks = np.empty_like(order)
    ranks[order] = np.arange(len(order))
    # begin_s as a visit: begin_s / C of the epoch
    return Epoch(order, ranks, (begins / circle * layout.total).astype(np.int64), wrapped)


class Visits:
    """The endless stream of epochs from visit number `first` on: which example each visit takes, and what to read when."""

    def __init__(self, layout: Layout, seed: int, first: int) -> None:
        self.layout, self._first = layout, first
        self._starts, self._total = layout.starts, layout.total
        self._epoch = lru_cache(maxsize=4)(partial(epoch_order, layout, seed))

    def numbers(self, visits: Integers) -> Integers:
        """Return the numbers of the examples of these visits."""
        epochs, within = np.divmod(visits, self._total)
        numbers = np.empty_like(visits)
        for epoch in np.unique(epochs).tolist():
            numbers[epochs == epoch] = self._epoch(epoch).order[within[epochs == epoch]]
        return numbers

    def shard(self, number: int) -> int:
        """Return the shard of an example."""
        return int(np.searchsorted(self._starts, number, side="right")) - 1

    def within(self, load: Load) -> Integers:
        """Return the places of a load's examples in their shard."""
        places: Integers = self.numbers(load.visits) - self._starts[load.shard]
        return places

    def next_visit(self, visit: int) -> int:
        """Return the visit of the same example in the next epoch."""
        epoch, within = divmod(visit, self._total)
        return (epoch + 1) * self._total + int(self._epoch(epoch + 1).ranks[self._epoch(epoch).order[within]])

    def loads(self) -> Iterator[Load]:
        """Yield what to read, ordered by `due`: every shard once if the split is resident, else epoch by epoch without end."""
        if self.layout.resident:
            yield from sorted(self._first_visits(), key=_due)
            return
        first = self._first // self._total
        for epoch in range(first, 2**62):
            after = self._epoch_loads(epoch + 1, wrapped=True)  # these are due before this epoch ends
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
        one, loads = self._epoch(epoch), []
        visits = np.where(one.wrapped == wrapped, epoch * self._total + one.ranks, -1)
        for shard, (start, stop) in enumerate(zip(self._starts[:-1], self._starts[1:], strict=True)):
            own = np.sort(visits[start:stop])
            own = own[np.searchsorted(own, max(self._first, 0)) :]
            if len(own):
                due = (epoch - wrapped) * self._total + int(one.begins[shard])
                loads.append(Load(min(due, int(own[0])), shard, own))
        return sorted(loads, key=_due)


def _due(load: Load) -> int:
    return load.due
