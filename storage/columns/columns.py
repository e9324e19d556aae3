"""Columns: flat arrays along a declared axis, one Zarr v3 array and one data file each.

Zarr's own defaults are not enough here. pcodec flattens a chunk in memory order, so an F-ordered chunk would read back
wrong without an error. It refuses 8-bit integers. Every creation or opening warns. A missing file reads as zeros. This file
handles all four, and no other file creates or opens arrays. `pcodec.py` handles a fifth: a chunk can hold more than its shape.

An inner chunk is one row of up to 65,536 elements. pcodec models a chunk with one histogram, and the rows of a column differ:
most are nearly zero. Rows share a chunk if one of them would make a chunk below LEAST_CHUNK.
"""

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.abc.store import ByteRequest
from zarr.codecs import BloscCodec
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import LocalStore

from ...errors import CacheDamagedError
from ...runtime.stopping import held_back
from ..documents.values import is_axis
from .metadata import OFFSET, PCODEC
from .pcodec import bounded

RESERVED_AXES = ("entry", "example", "token", "basis")
"""The axes of the format itself. Any other plain name is a token axis of the teacher's family, such as `input`."""
CODECS = ("pcodec", "zstd")
COLUMN_CHUNK = 65_536
LEAST_CHUNK = 8192
"""The number of elements below which a chunk's overhead, in bytes and time, outweighs what a histogram per row saves."""
ENTRY_CHUNK = 4096
"""The number of elements of a chunk on the axis `entry`, whose columns have similar elements near each other."""
_opening = threading.Lock()

Values = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """The values to store, with the axis that they run along."""

    values: Values
    """The values [n] or [rows, n], integers or float32 or float64; the last axis is the declared one."""
    axis: str
    """One of RESERVED_AXES, or the name of a token axis."""

    def __post_init__(self) -> None:
        if not is_axis(self.axis):
            raise ValueError(f"the axis of a column should be a plain lower-case name, not {self.axis!r}")
        if self.values.ndim not in (1, 2):
            raise ValueError(f"a column has one or two dimensions, not {self.values.ndim}")
        if self.values.dtype.kind not in "iu" and self.values.dtype not in (np.float32, np.float64):
            raise TypeError(f"a column holds integers, float32 or float64, not {self.values.dtype}")


def smallest_integer(values: Values, codec: str) -> Values:
    """Return the integers in the smallest dtype that holds them and that the codec takes; return floats unchanged.

    The dtype is unsigned if no value is negative. pcodec takes 16 bits or more, zstd 8 or more. Raises TypeError for other
    dtypes.
    """
    if values.dtype.kind == "f":
        return values.astype(values.dtype.newbyteorder("="), copy=False)
    if values.dtype.kind not in "iu":
        raise TypeError(f"expected integers, got {values.dtype}")
    low, high = (int(values.min()), int(values.max())) if values.size else (0, 0)
    kind, first = ("i" if low < 0 else "u"), (2 if codec == "pcodec" else 1)
    ranges = {size: np.iinfo(f"{kind}{size}") for size in (1, 2, 4, 8) if size >= first}
    size = next(size for size, held in ranges.items() if held.min <= low and high <= held.max)
    return values.astype(f"{kind}{size}")


def write_column(folder: Path, name: str, column: Column, codec: str) -> None:
    """Write the column as the Zarr v3 array `folder/name`: zarr.json and one shard.

    Raises ValueError for an unknown codec, OSError from the file system (FileExistsError if the array exists).
    """
    if codec not in CODECS:
        raise ValueError(f"the codec of a column is one of {', '.join(CODECS)}, not {codec!r}")
    values = np.ascontiguousarray(smallest_integer(column.values, codec))
    offset = OFFSET if codec == "zstd" and values.dtype.kind == "i" and values.itemsize > 1 else 0
    inner = _chunk_shape(values.shape, ENTRY_CHUNK if column.axis == "entry" else COLUMN_CHUNK)
    with _quiet():
        array = zarr.create_array(
            LocalStore(folder / name),
            shape=values.shape,
            dtype=values.dtype,
            chunks=inner,
            shards=tuple(max(1, ceil(n / chunk)) * chunk for n, chunk in zip(values.shape, inner, strict=True)),
            dimension_names=("row", column.axis)[-values.ndim :],
            attributes={"offset": offset} if offset else {},
            fill_value=0,
            zarr_format=3,
            filters=None,
            config={"write_empty_chunks": True},
            **_codec_arguments(codec, values.itemsize),
        )
    if values.size:
        stored = _shifted(values, offset)
        assert stored.flags.c_contiguous, "pcodec stores F-ordered chunks wrongly"
        array[...] = stored


class _StrictStore(LocalStore):
    """A local store that raises an error for a missing file, because Zarr reads a missing chunk as zeros without one."""

    async def get(
        self, key: str, prototype: BufferPrototype | None = None, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        content = await super().get(key, prototype, byte_range)
        if content is None:
            raise CacheDamagedError(f"{self.root / key} is missing: this folder must be dumped again")
        return content


@held_back()
def open_column(folder: Path, name: str) -> "zarr.Array[Any]":
    """Open the array `folder/name`, for `read_part`. Raises FileNotFoundError if it does not exist."""
    with _quiet():
        return zarr.open_array(_StrictStore(folder / name, read_only=True), mode="r", zarr_format=3)


def read_column(folder: Path, name: str) -> Values:
    """Return the whole column, [n] or [rows, n], in its stored dtype."""
    array = open_column(folder, name)
    return read_part(array, 0, array.shape[-1])


def read_slice(folder: Path, name: str, start: int, stop: int) -> Values:
    """Return elements start to stop of the last axis, decoding only the inner chunks that contain them."""
    return read_part(open_column(folder, name), start, stop)


@held_back()
def read_part(array: "zarr.Array[Any]", start: int, stop: int) -> Values:
    """Return `read_slice` of an opened array. Raises IndexError unless 0 <= start <= stop <= n: numpy would return less."""
    if not 0 <= start <= stop <= array.shape[-1]:
        raise IndexError(f"elements {start} to {stop} of a column of {array.shape[-1]}")
    if start == stop or 0 in array.shape:
        return np.empty((*array.shape[:-1], stop - start), array.dtype)
    return _as_written(array, np.asarray(array[..., start:stop]))


@held_back()
def read_rows(array: "zarr.Array[Any]", start: int, stop: int) -> Values:
    """Return rows start to stop of an opened array [rows, n]. Raises IndexError unless 0 <= start <= stop <= rows."""
    if not 0 <= start <= stop <= array.shape[0]:
        raise IndexError(f"rows {start} to {stop} of a column of {array.shape[0]}")
    if start == stop or 0 in array.shape:
        return np.empty((stop - start, *array.shape[1:]), array.dtype)
    return _as_written(array, np.asarray(array[start:stop]))


def _as_written(array: "zarr.Array[Any]", stored: Values) -> Values:
    """Return stored values without the array's offset."""
    offset = array.attrs.get("offset", 0)
    assert isinstance(offset, int)
    return np.ascontiguousarray(_shifted(stored, -offset))


def _shifted(values: Values, offset: int) -> Values:
    """Return `values + offset` modulo the word of their dtype; the same array if the offset is 0."""
    if not offset:
        return values
    unsigned = values.view(values.dtype.str.replace("i", "u"))
    shifted: Values = unsigned + np.array(offset % 2 ** (8 * values.itemsize), unsigned.dtype)
    return shifted.view(values.dtype)


def _chunk_shape(shape: tuple[int, ...], elements: int) -> tuple[int, ...]:
    """Return the shape of an inner chunk: an even part, of at most so many elements, of one row, or several short rows.

    Several short rows make up LEAST_CHUNK elements, so that the chunk is worth its overhead.
    """
    parts = max(1, ceil(shape[-1] / elements))
    length = ceil(shape[-1] / parts) or 1
    return (*(min(rows, max(1, LEAST_CHUNK // length)) or 1 for rows in shape[:-1]), length)


def _codec_arguments(codec: str, itemsize: int) -> dict[str, Any]:
    """Return serializer and compressor for `zarr.create_array`; "zstd" uses only codecs of the Zarr v3 core."""
    if codec == "pcodec":
        return {"serializer": PCODEC, "compressors": None}
    return {"compressors": BloscCodec(cname="zstd", clevel=1, shuffle="shuffle", typesize=itemsize, blocksize=0)}


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the warning that pcodec is not part of the Zarr v3 specification, because SPEC.md says so.

    `warnings.catch_warnings` changes process-wide state, so we hold a lock.
    """
    with _opening, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*not in the Zarr version 3 specification.*")
        with bounded():
            yield
