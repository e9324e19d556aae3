"""A batch made of records: padded, transposed, and in the types that the student computes with.

All of it in numpy, for it is done in a thread: torch would start a team of OpenMP threads there, and with more of them than
cores each parallel region of the step waits for threads that sleep.
"""

from collections.abc import Sequence
from dataclasses import fields

import numpy as np
import torch
from torch import Tensor

from ...models.padding import pad_examples
from ...signals.logits.code import LogitIntegers
from .batch import Batch
from .records import Block, Unpacker
from .shard_records import Columns


def make_batch(columns: Columns, pad_id: int, examples: Sequence[int], records: Sequence[bytes]) -> Batch:
    """The batch of some records; `examples` are their numbers in the cache."""
    readers = [Unpacker(record) for record in records]
    ids = [(reader.block()[0], reader.block()[0]) for reader in readers]
    input_ids, labels, valid = pad_examples([pair[0] for pair in ids], [pair[1] for pair in ids], pad_id)
    coefficients = {
        name: _padded([_coefficients(reader) for reader in readers], valid[axis].shape[1])
        for name, axis in columns.coefficients
    }
    logits = _logits(readers) if columns.logits else None
    return Batch(input_ids, labels, valid, coefficients, logits, tuple(map(int, examples)))


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
