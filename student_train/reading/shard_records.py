"""Reading a shard: its columns, decoded a few rows at a time, cut into examples, and each example packed as a record."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...cache.cache import Shard
from ...cache.logit_columns import read_logits
from .records import Block, fold, pack, pack_count, pack_unsigned

AXES = ("input", "target")
DECODED = 2**22
"""Elements of a column that are decoded at once."""

Integers = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, slots=True)
class Columns:
    """What is needed of a shard beside the token ids."""

    coefficients: tuple[tuple[str, str], ...]
    """(column, axis)"""
    logits: tuple[str, int, bool] | None
    """Kind of the cached distributions, number of ids that they can name, and whether at another temperature than 1; None where
    they are not needed"""


def read_lengths(shard: Shard) -> Integers:
    """Tokens of each example, int32 [examples, 2]: inputs, targets."""
    offsets = [shard.column(f"{axis}s.offsets") for axis in AXES]
    shard.folder.close()
    return np.stack([np.diff(found.astype(np.int64)) for found in offsets], axis=1).astype(np.int32)


def read_records(shard: Shard, columns: Columns, places: Integers) -> list[bytes]:
    """The records of the examples at these places in a shard: ids of inputs and targets, coefficients, distributions.

    Raises CacheDamagedError when files are not the published ones, or hold what no example can have.
    """
    parts: list[list[bytes]] = [[] for _ in places]
    spans = {axis: _spans(shard.column(f"{axis}s.offsets"), places) for axis in AXES}
    for axis in AXES:
        ids = shard.column(f"{axis}s.ids")
        for part, span in zip(parts, spans[axis], strict=True):
            part.append(pack(ids[span]))
    for name, axis in columns.coefficients:
        blocks = list(_row_blocks(shard, name))
        for part in parts:
            part.append(pack_count(len(blocks)))
        for start, stop in blocks:
            _pack_rows(shard.folder.rows(name, start, stop), spans[axis], parts)
    if columns.logits:
        stored = read_logits(shard.folder, *columns.logits)
        for part, span in zip(parts, spans["target"], strict=True):
            part.extend(pack(field) for field in stored.integers(span.start, span.stop))
    shard.folder.close()  # a cache may have ten thousand
    return [b"".join(part) for part in parts]


def _spans(offsets: Integers, places: Integers) -> list[slice]:
    return [slice(int(offsets[place]), int(offsets[place + 1])) for place in places]


def _row_blocks(shard: Shard, name: str) -> Iterator[tuple[int, int]]:
    """Ranges of rows of about DECODED elements."""
    rank, tokens = shard.folder.columns[name]["shape"]
    step = max(1, DECODED // max(1, tokens))
    yield from ((start, min(start + step, rank)) for start in range(0, max(1, rank), step))


def _pack_rows(rows: Block, spans: Sequence[slice], parts: Sequence[list[bytes]]) -> None:
    """Append the examples' parts of some rows [rows, tokens] to their records."""
    folded = fold(rows.astype(np.int16 if rows.itemsize == 1 else np.int32 if rows.dtype.kind == "u" else rows.dtype))
    for part, span in zip(parts, spans, strict=True):
        part.append(pack_unsigned(folded[:, span], folded=True))
