"""One example's integers as a short string of bytes, written and read in microseconds.

A record is a sequence of pieces; a piece is a block [rows, n] of integers, which a header and Zstandard over their bit planes
hold exactly. Negative integers are folded in (0, -1, 1, -2, ... become 0, 1, 2, 3, ...), so that small ones have few bits.
"""

from dataclasses import dataclass
from struct import Struct
from typing import Any

import numpy as np
from numcodecs import Blosc

_HEADER = Struct("<BBIII")
"""Bytes per integer, whether folded, rows, n, bytes of the body: none where all are zero."""
_COUNT = Struct("<I")
_CODEC = Blosc(cname="zstd", clevel=1, shuffle=Blosc.BITSHUFFLE)
_EIGHT = 8
"""Blosc leaves bits as they are where the elements are no multiple of this."""

Block = np.ndarray[Any, np.dtype[Any]]


def pack(block: Block) -> bytes:
    """A piece that holds integers [rows, n] or [n], int32 or what fits it."""
    signed = bool(block.size) and int(block.min()) < 0
    return pack_unsigned(fold(block) if signed else block, signed)


def pack_unsigned(plain: Block, folded: bool) -> bytes:
    """A piece of integers [rows, n] or [n] that are not negative, or were `folded` so as not to be."""
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
    """A number between pieces."""
    return _COUNT.pack(count)


def fold(block: Block) -> Block:
    """Signed integers as unsigned ones of the same width: 2v, or -2v - 1 where v is negative."""
    folded = (block << 1) ^ (block >> (8 * block.itemsize - 1))
    return folded.view(f"u{block.itemsize}")


def unfold(folded: Block) -> Block:
    """The inverse of `fold`, signed integers of the same width."""
    return ((folded >> 1) ^ -(folded & 1)).view(f"i{folded.itemsize}")


@dataclass(slots=True)
class Unpacker:
    """Reads the pieces of a record one after the other."""

    record: bytes
    at: int = 0

    def block(self) -> Block:
        """The next piece [rows, n]: unsigned, or signed where it was folded, in the smallest words that hold it."""
        size, signed, rows, n, length = _HEADER.unpack_from(self.record, self.at)
        begin = self.at + _HEADER.size
        self.at = begin + length
        dtype = np.dtype(f"<u{size}")
        if not length:
            return np.zeros((rows, n), dtype.str.replace("u", "i") if signed else dtype)
        body: Any = memoryview(self.record)[begin : self.at]
        if length != rows * n * size:
            body = _CODEC.decode(body)
        found = np.frombuffer(body, dtype, rows * n).reshape(rows, n)
        return unfold(found) if signed else found

    def count(self) -> int:
        """A number that `pack_count` wrote."""
        (found,) = _COUNT.unpack_from(self.record, self.at)
        self.at += _COUNT.size
        return int(found)
