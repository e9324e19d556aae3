"""Cut the stream of examples into steps of similar lengths, and each step into the parts of processes and passes.

The examples of about POOL steps (a pool) are sorted by length and cut into batches, whose order is shuffled. So a batch needs
little padding. If all lengths are equal, only the order of the pool's batches changes. Pools end with their epoch.
"""

from dataclasses import dataclass

import numpy as np

from .order import Integers, Layout

Lengths = np.ndarray[tuple[int, int], np.dtype[np.int32]]
"""Tokens of examples by axis, [examples, axes]."""

POOL = 16
"""The number of steps whose examples are sorted by length together."""


@dataclass(frozen=True, slots=True)
class Share:
    """The part of every step that this process computes."""

    rank: int = 0
    world: int = 1
    passes: int = 1
    """The number of micro-batches that each process makes of its part."""

    def cut(self, batch_size: int) -> list[slice]:
        """Return the slices of a step, sorted by length, that are this process's micro-batches.

        In each pass the processes take neighbouring parts, so that none waits for another's longer examples. Raises ValueError
        if the parts would differ in size.
        """
        parts = self.world * self.passes
        if batch_size % parts:
            raise ValueError(f"a batch of {batch_size} cannot be cut evenly for {self.world} processes x {self.passes}")
        size = batch_size // parts
        return [slice(size * part, size * (part + 1)) for part in range(self.rank, parts, self.world)]


WHOLE = Share()
"""The share of a single process, in one pass."""


def pool_of(step: int, total: int, batch_size: int, longest: int) -> range:
    """Return the steps, at most `longest`, of the pool of this step; a step in which an epoch ends is a pool of its own.

    `total` is the number of examples in an epoch.
    """
    epoch = step * batch_size // total
    first, stop = -(-epoch * total // batch_size), (epoch + 1) * total // batch_size  # steps within this epoch
    if step >= stop:
        return range(step, step + 1)
    begin = first + (step - first) // longest * longest
    return range(begin, min(begin + longest, stop))


def pool_steps(layout: Layout, batch_size: int) -> int:
    """Return the number of steps in a pool: POOL, or fewer if an eighth of the budget does not hold as many."""
    batch = float(layout.costs.sum()) / layout.total * batch_size
    return max(1, min(POOL, int(layout.budget / 8 / batch)))


def pool_batches(pool: range, lengths: Lengths, seed: int) -> list[Integers]:
    """Return for each step of the pool the places of its examples in the pool, sorted by their `lengths` [examples, axes]."""
    batches = np.lexsort(lengths.T[::-1]).reshape(len(pool), -1)
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence(seed, spawn_key=(1, pool.start))))
    return list(rng.permutation(batches))
