"""A batch: examples padded together, made of records, as the integers that the cache holds.

We use numpy, because a thread makes the batches: torch would start a team of OpenMP threads there. With more such threads than
cores, each parallel region of the step waits for threads that sleep.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from torch import Tensor

from ...models.padding import pad_examples
from ...signals.logits.code import LogitIntegers
from .records import Block, Columns, Unpacker


@dataclass(frozen=True, slots=True)
class Batch:
    """Examples padded together, on one device."""

    ids: dict[str, Tensor]
    """Token ids by token axis, int64 [B, length]; -100 pads the labels."""
    valid: dict[str, Tensor]
    """Which positions are not padding, by token axis, boolean [B, length]."""
    label_axis: str
    """The token axis of the labels."""
    coefficients: dict[str, Tensor]
    """The integers of sites by column, [B, length, rank]."""
    logits: LogitIntegers | None
    """The distributions of the valid target positions, example by example; None if they are not needed."""
    examples: tuple[int, ...]
    """The examples' numbers in the cache."""

    @property
    def labels(self) -> Tensor:
        """The ids that the student must predict, int64 [B, length], padded with -100."""
        return self.ids[self.label_axis]

    @property
    def tokens(self) -> int:
        """The number of valid tokens on all axes."""
        return int(sum(valid.sum() for valid in self.valid.values()))

    def to(self, device: torch.device) -> "Batch":
        """Return the batch on a device."""
        return replace(
            self,
            ids={axis: ids.to(device, non_blocking=True) for axis, ids in self.ids.items()},
            valid={axis: valid.to(device, non_blocking=True) for axis, valid in self.valid.items()},
            coefficients={name: block.to(device, non_blocking=True) for name, block in self.coefficients.items()},
            logits=None if self.logits is None else self.logits.to(device),
        )


def make_batch(columns: Columns, pad_id: int, examples: Sequence[int], records: Sequence[bytes]) -> Batch:
    """Return the batch of some records; `examples` are their numbers in the cache."""
    readers = [Unpacker(record) for record in records]
    rows = [[reader.block()[0] for _ in columns.family.axes] for reader in readers]
    own = {axis: [row[place] for row in rows] for place, axis in enumerate(columns.family.axes)}
    ids, valid = pad_examples(columns.family, own, pad_id)
    coefficients = {
        name: _padded([_coefficients(reader) for reader in readers], valid[axis].shape[1])
        for name, axis in columns.coefficients
    }
    logits = _logits(readers) if columns.logits else None
    return Batch(ids, valid, columns.family.label_axis, coefficients, logits, tuple(map(int, examples)))


def _coefficients(reader: Unpacker) -> list[Block]:
    """Read the blocks of rows of one example's column."""
    return [reader.block() for _ in range(reader.count())]


def _padded(examples: Sequence[Sequence[Block]], longest: int) -> Tensor:
    """Join blocks of rows [rank, length] to integers [B, longest, rank], padded with zeros, in the smallest type that fits."""
    dtype = np.result_type(*(block.dtype for blocks in examples for block in blocks))
    rank = sum(len(block) for block in examples[0])
    padded = np.zeros((len(examples), longest, rank), dtype)
    for place, blocks in enumerate(examples):
        row = 0
        for block in blocks:
            padded[place, : block.shape[1], row : row + len(block)] = block.T
            row += len(block)
    return torch.from_numpy(padded)


def _logits(readers: Sequence[Unpacker]) -> LogitIntegers:
    """Read the distributions of all examples, end to end."""
    rows = [[reader.block() for _ in fields(LogitIntegers)] for reader in readers]
    joined = [np.concatenate(parts, axis=-1).astype(np.int32) for parts in zip(*rows, strict=True)]
    flat = [*(block[0] for block in joined[:-1]), joined[-1]]  # the last has a row per temperature
    return LogitIntegers(*map(torch.from_numpy, flat))
