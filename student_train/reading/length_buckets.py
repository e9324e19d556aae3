"""Steps cut from the stream of examples: like lengths together, and each step cut into the parts of processes and passes.

Examples of about POOL steps are sorted by length and cut into batches, whose order is drawn anew, so that a batch pads little
and the stream keeps its order where all lengths are equal. Pools end with their epoch.
"""

from dataclasses import dataclass

import numpy as np

from .order import Integers, Layout

Lengths = np.ndarray[tuple[int, int], np.dtype[np.int32]]

POOL = 16
"""Steps whose examples are sorted by length together."""


@dataclass(frozen=True, slots=True)
class Share:
    """Which part of every step is this process's own."""

    rank: int = 0
    world: int = 1
    passes: int = 1
    """Micro-batches that each process makes of its part"""

    def cut(self, batch_size: int) -> list[slice]:
        """Where in a step, sorted by length, this process's micro-batches lie.

        In each pass the processes take neighbouring parts, so that none waits for another's longer examples. Raises ValueError
        where the parts would differ in size.
        """
        parts = self.world * self.passes
        if batch_size % parts:
            raise ValueError(f"a batch of {batch_size} cannot be cut evenly for {self.world} processes x {self.passes}")
        size = batch_size // parts
        return [slice(size * part, size * (part + 1)) for part in range(self.rank, parts, self.world)]


WHOLE = Share()
"""The only process, in one pass."""


def pool_of(step: int, total: int, batch_size: int, longest: int) -> range:
    """The steps, `longest` at most, that share a pool with this one; a step in which an epoch ends has its own.

    `total` is the number of examples in an epoch.
    """
    epoch = step * batch_size // total
    first, stop = -(-epoch * total // batch_size), (epoch + 1) * total // batch_size  # steps of this epoch alone
    if step >= stop:
        return range(step, step + 1)
    begin = first + (step - first) // longest * longest
    return range(begin, min(begin + longest, stop))


def pool_steps(layout: Layout, batch_size: int) -> int:
    """Steps in a pool: POOL, or as many as an eighth of the budget holds."""
    batch = float(layout.costs.sum()) / layout.total * batch_size
    return max(1, min(POOL, int(layout.budget / 8 / batch)))


def pool_batches(pool: range, lengths: Lengths, seed: int) -> list[Integers]:
    """For each step of the pool the places in it of its examples, sorted by their `lengths` [examples, axes]."""
    batches = np.lexsort(lengths.T[::-1]).reshape(len(pool), -1)
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence(seed, spawn_key=(1, pool.start))))
    return list(rng.permutation(batches))
