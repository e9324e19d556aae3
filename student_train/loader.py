"""From published shards to batches, read ahead of the step by a thread.

The order of examples is a pure function of (seed, epoch) and the shards' sizes. Each epoch shuffles the shards, cuts them
into groups of about SHUFFLE_EXAMPLES examples and shuffles within the groups, so that memory holds one group, not the
cache. The stream of epochs is endless; a step's batch is its slice, so a step number says where to go on.
"""

import queue
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from ..cache import Shard, Split
from ..logit_columns import StoredLogits, read_logits
from ..padding import pad_examples
from ..signals.logits import LogitIntegers, join_integers
from .batch import Batch

T = TypeVar("T")
SHUFFLE_EXAMPLES = 1024
AHEAD = 4
"""Batches that wait ready."""


@dataclass(frozen=True, slots=True)
class Share:
    """Which part of every step's batch this process works on, in how many forward passes."""

    rank: int = 0
    world: int = 1
    passes: int = 1


ONE = Share()


@dataclass(frozen=True, slots=True)
class Columns:
    """What an objective needs of a shard beside the token ids."""

    coefficients: tuple[tuple[str, str], ...]
    """(column, axis)"""
    logits: tuple[str, int, bool] | None
    """Kind of the cached distributions, number of ids that they can name, and whether at another temperature than 1; None where
    they are not needed"""


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A shard's columns in memory, as stored integers."""

    columns: dict[str, np.ndarray]
    logits: StoredLogits | None


def epoch_order(sizes: Sequence[int], seed: int, epoch: int) -> np.ndarray:
    """Positions [examples, 2] of (shard, index within) in the order of one epoch."""
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, epoch])))
    shards = rng.permutation(len(sizes))
    order, group = [], []
    for place, shard in enumerate(shards):
        group.append(np.stack([np.full(sizes[shard], shard), np.arange(sizes[shard])], axis=1))
        if place == len(shards) - 1 or sum(map(len, group)) >= SHUFFLE_EXAMPLES:
            order.append(rng.permutation(np.concatenate(group)))
            group = []
    return np.concatenate(order)


class BatchSource:
    """Builds batches of a split from its shards, keeping the shards of a shuffle group in memory as stored integers."""

    def __init__(self, split: Split, columns: Columns, pad_id: int) -> None:
        self._shards, self._columns, self._pad_id = split.shards, columns, pad_id
        self.sizes = [shard.examples for shard in split.shards]
        self._loaded: OrderedDict[int, _Loaded] = OrderedDict()
        self._room = SHUFFLE_EXAMPLES + 2 * max(self.sizes, default=0)  # a shuffle group and the shard after it

    def batch(self, places: np.ndarray) -> Batch:
        """The batch of the examples at places [B, 2]."""
        rows = [self._example(int(shard), int(index)) for shard, index in places]
        inputs, labels, valid = pad_examples(
            [row["inputs"] for row in rows], [row["targets"] for row in rows], self._pad_id
        )
        coefficients = {name: _pad_blocks([row[name] for row in rows]) for name, _ in self._columns.coefficients}
        logits = (
            join_integers([self._logits(int(shard), int(index)) for shard, index in places])
            if self._columns.logits
            else None
        )
        return Batch(
            inputs, labels, valid, coefficients, logits, tuple(int(self._shards[s].place.start + i) for s, i in places)
        )

    def _example(self, shard: int, index: int) -> dict[str, np.ndarray]:
        stored = self._shard(shard).columns
        spans = {axis: slice(*stored[f"{axis}s.offsets"][index : index + 2].tolist()) for axis in ("input", "target")}
        row = {"inputs": stored["inputs.ids"][spans["input"]], "targets": stored["targets.ids"][spans["target"]]}
        row |= {name: stored[name][:, spans[axis]] for name, axis in self._columns.coefficients}
        return row

    def _logits(self, shard: int, index: int) -> LogitIntegers:
        stored = self._shard(shard)
        assert stored.logits is not None
        return stored.logits.positions(*stored.columns["targets.offsets"][index : index + 2].tolist())

    def _shard(self, number: int) -> _Loaded:
        if number in self._loaded:
            self._loaded.move_to_end(number)
        else:
            self._loaded[number] = _read(self._shards[number], self._columns)
            while sum(self.sizes[loaded] for loaded in self._loaded) > self._room:
                self._loaded.popitem(last=False)
        return self._loaded[number]


def _read(shard: Shard, columns: Columns) -> _Loaded:
    names = ["inputs.ids", "inputs.offsets", "targets.ids", "targets.offsets"]
    names += [name for name, _ in columns.coefficients]
    logits = read_logits(shard.folder, *columns.logits) if columns.logits else None
    return _Loaded({name: shard.column(name) for name in names}, logits)


def _pad_blocks(blocks: Sequence[np.ndarray]) -> Tensor:
    """[rank, length] blocks to integers [B, longest, rank], zero where padded."""
    longest = max(block.shape[1] for block in blocks)
    dtype = np.result_type(
        *blocks, np.int16
    )  # the smallest stored type may be unsigned, which torch computes little with
    padded = np.zeros((len(blocks), longest, blocks[0].shape[0]), dtype=dtype)
    for place, block in enumerate(blocks):
        padded[place, : block.shape[1]] = block.T
    return torch.from_numpy(padded)


def in_order(source: BatchSource, batch_size: int, share: Share = ONE) -> Iterator[Batch]:
    """All examples once, in storage order: for evaluation."""
    places = [(shard, index) for shard, size in enumerate(source.sizes) for index in range(size)]
    for first in range(share.rank * batch_size, len(places), batch_size * share.world):
        yield source.batch(np.array(places[first : first + batch_size]))


def shuffled(source: BatchSource, batch_size: int, seed: int, start: int) -> Iterator[Batch]:
    """Endless batches of the shuffled stream, from its batch number `start` on."""
    total = sum(source.sizes)
    orders: dict[int, np.ndarray] = {}
    for number in range(start, 2**62):
        positions = np.arange(number * batch_size, (number + 1) * batch_size)
        places = []
        for position in positions:
            epoch, within = divmod(int(position), total)
            if epoch not in orders:
                orders = {e: o for e, o in orders.items() if e == epoch - 1}
                orders[epoch] = epoch_order(source.sizes, seed, epoch)
            places.append(orders[epoch][within])
        yield source.batch(np.array(places))


def steps(source: BatchSource, batch_size: int, seed: int, start: int, share: Share = ONE) -> Iterator[list[Batch]]:
    """Endless steps."""
    micro = batch_size // (share.world * share.passes)
    each = share.world * share.passes
    stream = shuffled(source, micro, seed, start * each)
    while True:
        group = [next(stream) for _ in range(each)]
        yield group[share.rank :: share.world]


class Ahead(Generic[T]):
    """Runs an iterator of batches in a thread, AHEAD batches in advance; errors surface where the batch is asked for."""

    def __init__(self, batches: Iterator[T]) -> None:
        self._queue: queue.Queue[Any] = queue.Queue(maxsize=AHEAD)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, args=(batches,), name="loader", daemon=True)
        self._thread.start()

    def _work(self, batches: Iterator[T]) -> None:
        try:
            for batch in batches:
                if not self._put(batch):
                    return
        except BaseException as error:  # handed to the consumer, who raises it
            self._put(error)

    def _put(self, item: Any) -> bool:
        while not self._stop.is_set():
            try:
                self._queue.put(item, timeout=0.2)
            except queue.Full:
                continue
            return True
        return False

    def __next__(self) -> T:
        item = self._queue.get()
        if isinstance(item, BaseException):
            raise item
        batch: T = item
        return batch

    def close(self) -> None:
        """Stop the thread."""
        self._stop.set()
        self._thread.join()
