"""Records: one example's integers as a short string of bytes, and how to read the records of a shard, a few rows at a time.

A record is a sequence of pieces. A piece holds a block [rows, n] of integers exactly: a header, then the bit planes of the
integers, compressed by Zstandard. Negative integers are folded (0, -1, 1, -2, ... become 0, 1, 2, 3, ...), so that small ones
have few bits.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from struct import Struct
from typing import Any

import numpy as np
from numcodecs import Blosc

from ...cache import Shard
from ...cache.logit_columns import read_logits
from ...models.families import Family

_HEADER = Struct("<BBIII")
"""Bytes per integer, whether folded, rows, n, bytes of the body. The body is empty if all integers are zero."""
_COUNT = Struct("<I")
_CODEC = Blosc(cname="zstd", clevel=1, shuffle=Blosc.BITSHUFFLE)
_EIGHT = 8
"""Blosc does not shuffle bits if the number of elements is not a multiple of this."""

DECODED = 2**22
"""The number of elements of a column that are decoded at once."""

Block = np.ndarray[Any, np.dtype[Any]]


def pack(block: Block) -> bytes:
    """Return a piece that holds integers [rows, n] or [n], of int32 or a type that fits into it."""
    signed = bool(block.size) and int(block.min()) < 0
    return pack_unsigned(fold(block) if signed else block, signed)


def pack_unsigned(plain: Block, folded: bool) -> bytes:
    """Return a piece of integers [rows, n] or [n] that are not negative; `folded` says that `fold` made them so."""
    most = int(plain.max(initial=0))
    size = 1 if most < 2**8 else 2 if most < 2**16 else 4
    body = b""
    if most:
        raw = np.zeros(-(-plain.size // _EIGHT) * _EIGHT, f"<u{size}")
        raw[: plain.size].reshape(plain.shape)[...] = plain
        body = _CODEC.encode(raw)
        body = raw[: plain.size].tobytes() if len(body) >= plain.size * size else body
    rows = plain.shape[0] if plain.ndim == 2 else 1
    return _HEADER.pack(size, folded, rows, plain.shape[-1], len(body)) + body


def pack_count(count: int) -> bytes:
    """Return the bytes of a number between pieces."""
    return _COUNT.pack(count)


def fold(block: Block) -> Block:
    """Return signed integers v as unsigned ones of the same width: 2v, or -2v - 1 for negative v."""
    folded = (block << 1) ^ (block >> (8 * block.itemsize - 1))
    return folded.view(f"u{block.itemsize}")


def unfold(folded: Block) -> Block:
    """Return what was folded: signed integers of the same width."""
    return ((folded >> 1) ^ -(folded & 1)).view(f"i{folded.itemsize}")


@dataclass(slots=True)
class Unpacker:
    """Reads the pieces of a record one after the other."""

    record: bytes
    at: int = 0

    def block(self) -> Block:
        """Return the next piece [rows, n], in its stored width: unsigned, or signed if it was folded."""
        size, signed, rows, n, length = _HEADER.unpack_from(self.record, self.at)
        begin = self.at + _HEADER.size
        self.at = begin + length
        dtype = np.dtype(f"<u{size}")
        if not length:
            return np.zeros((rows, n), dtype.str.replace("u", "i") if signed else dtype)
        body: Any = memoryview(self.record)[begin : self.at]
        if length != rows * n * size:
            body = _CODEC.decode(body)
        block = np.frombuffer(body, dtype, rows * n).reshape(rows, n)
        return unfold(block) if signed else block

    def count(self) -> int:
        """Return a number that `pack_count` wrote."""
        (count,) = _COUNT.unpack_from(self.record, self.at)
        self.at += _COUNT.size
        return int(count)


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of a shard that are needed beside the token ids."""

    family: Family
    """The teacher's family, which names the token axes."""
    coefficients: tuple[tuple[str, str], ...] = ()
    """Pairs (column, axis)."""
    logits: tuple[str, int, bool] | None = None
    """The kind of the cached distributions, the number of ids that they can name, and whether a temperature other than 1 is
    needed; None if the distributions are not needed."""


def read_lengths(shard: Shard, family: Family) -> Block:
    """Return the number of tokens of each example, int32 [examples, axes], in the order of the family's axes."""
    offsets = [shard.column(f"{axis}s.offsets") for axis in family.axes]
    shard.folder.close()
    return np.stack([np.diff(one.astype(np.int64)) for one in offsets], axis=1).astype(np.int32)


def read_records(shard: Shard, columns: Columns, places: Block) -> list[bytes]:
    """Return the records of the examples at these places in a shard: token ids by axis, coefficients, distributions.

    Raises CacheDamagedError if files are not the published ones, or hold numbers that no example can have.
    """
    parts: list[list[bytes]] = [[] for _ in places]
    spans = {axis: _spans(shard.column(f"{axis}s.offsets"), places) for axis in columns.family.axes}
    for axis in columns.family.axes:
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
        kind, below, tempered = columns.logits
        stored = read_logits(shard.folder, kind, below, shard.labels, tempered)
        for part, span in zip(parts, spans[columns.family.label_axis], strict=True):
            part.extend(pack(field) for field in stored.integers(span.start, span.stop))
    shard.folder.close()  # a cache may have ten thousand shards
    return [b"".join(part) for part in parts]


def _spans(offsets: Block, places: Block) -> list[slice]:
    return [slice(int(offsets[place]), int(offsets[place + 1])) for place in places]


def _row_blocks(shard: Shard, name: str) -> Iterator[tuple[int, int]]:
    """Yield ranges of rows with about DECODED elements each."""
    rank, tokens = shard.folder.columns[name]["shape"]
    step = max(1, DECODED // max(1, tokens))
    yield from ((start, min(start + step, rank)) for start in range(0, max(1, rank), step))


def _pack_rows(rows: Block, spans: Sequence[slice], parts: Sequence[list[bytes]]) -> None:
    """Append each example's part of some rows [rows, tokens] to its record."""
    folded = fold(rows.astype(np.int16 if rows.itemsize == 1 else np.int32 if rows.dtype.kind == "u" else rows.dtype))
    for part, span in zip(parts, spans, strict=True):
        part.append(pack_unsigned(folded[:, span], folded=True))
