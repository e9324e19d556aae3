"""A batch: examples padded together, as the integers that the cache holds, made of records.

All of it in numpy, since it is done in a thread: torch would start a team of OpenMP threads there, and with more of them than
cores each parallel region of the step waits for threads that sleep.
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
    """Examples padded together; everything on one device."""

    ids: dict[str, Tensor]
    """By token axis: int64 [B, length]; -100 pads the labels"""
    valid: dict[str, Tensor]
    """By token axis: boolean [B, length]"""
    label_axis: str
    """The token axis of the labels."""
    coefficients: dict[str, Tensor]
    """By column: integers [B, length, rank]"""
    logits: LogitIntegers | None
    """of the valid target positions, example by example"""
    examples: tuple[int, ...]
    """The examples' numbers in the cache."""

    @property
    def labels(self) -> Tensor:
        """What the student is to predict, int64 [B, length], -100 pads."""
        return self.ids[self.label_axis]

    @property
    def tokens(self) -> int:
        """The number of valid tokens on all axes."""
        return int(sum(valid.sum() for valid in self.valid.values()))

    def to(self, device: torch.device) -> "Batch":
        """The same batch on a device."""
        return replace(
            self,
            ids={axis: ids.to(device, non_blocking=True) for axis, ids in self.ids.items()},
            valid={axis: valid.to(device, non_blocking=True) for axis, valid in self.valid.items()},
            coefficients={name: block.to(device, non_blocking=True) for name, block in self.coefficients.items()},
            logits=None if self.logits is None else self.logits.to(device),
        )


def make_batch(columns: Columns, pad_id: int, examples: Sequence[int], records: Sequence[bytes]) -> Batch:
    """The batch of some records; `examples` are their numbers in the cache."""
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
    """The blocks of rows of one example's column."""
    return [reader.block() for _ in range(reader.count())]


def _padded(examples: Sequence[Sequence[Block]], longest: int) -> Tensor:
    """Rows [rank, length] in blocks to integers [B, longest, rank], zero where padded, in the smallest words that hold all."""
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
    """The distributions of all examples, end to end."""
    rows = [[reader.block() for _ in fields(LogitIntegers)] for reader in readers]
    joined = [np.concatenate(parts, axis=-1).astype(np.int32) for parts in zip(*rows, strict=True)]
    flat = [*(block[0] for block in joined[:-1]), joined[-1]]  # the last has a row per temperature
    return LogitIntegers(*map(torch.from_numpy, flat))
