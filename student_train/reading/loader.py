"""From published shards to the steps of a training, and to all examples once for evaluation.

The order (`order.py`, `length_buckets.py`) is a pure function of (seed, epoch) and the cache. Threads (`buffer.py`) read shards
as records (`records.py`), and `batch.py` makes batches of them, all ahead of the step (`prefetcher.py`). The stream of epochs is
endless, and a step's batch is a slice of it, so the step number says where a resumed run continues.
"""

from collections.abc import Generator, Iterator
from contextlib import suppress
from itertools import pairwise

import numpy as np

from ...cache import Split
from .batch import Batch, make_batch
from .buffer import Buffer
from .length_buckets import WHOLE, Share, pool_batches, pool_of, pool_steps
from .order import BUDGET, Integers, Layout, Visits
from .prefetcher import Prefetcher
from .records import Columns, read_lengths, read_records

__all__ = ["BatchSource", "Columns", "Prefetcher", "Share", "in_order", "steps"]


class BatchSource:
    """Reads records and makes batches, from the needed columns of a split."""

    def __init__(self, split: Split, columns: Columns, pad_id: int, budget: int = BUDGET) -> None:
        self.shards, self.columns, self._pad_id = split.shards, columns, pad_id
        self.layout = Layout(
            tuple(shard.examples for shard in self.shards),
            tuple(shard.folder.total_bytes for shard in self.shards),
            budget,
        )
        self.starts = self.layout.starts
        self._lengths: dict[int, np.ndarray] = {}

    def read(self, shard: int, places: Integers) -> list[bytes]:
        """Return the records of some examples of a shard."""
        return read_records(self.shards[shard], self.columns, places)

    def batch(self, numbers: Integers, records: list[bytes]) -> Batch:
        """Return the batch of the examples with these numbers, given their records."""
        shards = self._shards_of(numbers)
        first = np.array([shard.place.start for shard in self.shards]) - self.starts[:-1]
        return make_batch(self.columns, self._pad_id, (numbers + first[shards]).tolist(), records)

    def lengths(self, numbers: Integers) -> np.ndarray:
        """Return the number of tokens of examples by axis, int32 [n, axes]."""
        shards = self._shards_of(numbers)
        lengths = np.empty((len(numbers), len(self.columns.family.axes)), np.int32)
        for shard in np.unique(shards).tolist():
            if shard not in self._lengths:
                self._lengths[shard] = read_lengths(self.shards[shard], self.columns.family)
            own = shards == shard
            lengths[own] = self._lengths[shard][numbers[own] - self.starts[shard]]
        return lengths

    def _shards_of(self, numbers: Integers) -> Integers:
        shards: Integers = np.searchsorted(self.starts, numbers, side="right") - 1
        return shards


def steps(source: BatchSource, batch_size: int, seed: int, start: int, share: Share = WHOLE) -> "Steps":
    """Return the endless steps of the shuffled stream, from step number `start` on: this process's micro-batches of each.

    Raises ValueError if `batch_size` cannot be divided evenly among processes and passes.
    """
    return Steps(source, batch_size, seed, start, share.cut(batch_size))


class Steps(Iterator[list[Batch]]):
    """Endless steps. Any thread may close them, even while another one waits for the next step."""

    def __init__(self, source: BatchSource, batch_size: int, seed: int, start: int, parts: list[slice]) -> None:
        pool = pool_of(start, source.layout.total, batch_size, pool_steps(source.layout, batch_size))
        self._buffer = Buffer(Visits(source.layout, seed, pool.start * batch_size), source.read)
        self._steps = _steps(source, self._buffer, batch_size, seed, start, parts)

    def __next__(self) -> list[Batch]:
        return next(self._steps)

    def close(self) -> None:
        """End the reading threads; a thread that waits for the next step gets RuntimeError."""
        self._buffer.stop()
        with suppress(ValueError):  # a thread is waiting in the generator, which then closes itself
            self._steps.close()


def _steps(
    source: BatchSource, buffer: Buffer, batch_size: int, seed: int, start: int, parts: list[slice]
) -> Generator[list[Batch], None, None]:
    total, longest = source.layout.total, pool_steps(source.layout, batch_size)
    pool = pool_of(start, total, batch_size, longest)
    try:
        while True:
            visits = np.arange(pool.start * batch_size, pool.stop * batch_size)
            numbers = buffer.visits.numbers(visits)
            batches = pool_batches(pool, source.lengths(numbers), seed)
            for step, places in zip(pool, batches, strict=True):
                records = buffer.take(visits[places])
                if step >= start:
                    yield [source.batch(numbers[places[part]], records[part]) for part in parts]
            pool = pool_of(pool.stop, total, batch_size, longest)
    finally:
        buffer.close()


def in_order(source: BatchSource, batch_size: int, share: Share = WHOLE) -> Iterator[Batch]:
    """Yield all examples once, in storage order, for evaluation: every `share.world`-th batch, from number `share.rank` on."""
    waiting: list[bytes] = []
    for shard, (start, stop) in enumerate(pairwise(source.starts.tolist())):
        numbers = np.arange(start, stop)
        own = numbers[numbers // batch_size % share.world == share.rank]
        records = source.read(shard, own - start) if len(own) else []
        for number, record in zip(own.tolist(), records, strict=True):
            waiting.append(record)
            if (number + 1) % batch_size == 0 or number + 1 == source.layout.total:
                yield source.batch(np.arange(number + 1 - len(waiting), number + 1), waiting)
                waiting = []
