"""Columns: flat arrays along a declared axis, one Zarr v3 array and one data file each.

Zarr's own defaults are not enough here: pcodec flattens a chunk in memory order, so an F-ordered chunk would read back
wrong without any error; it refuses 8-bit integers; every creation or opening warns; and a missing file reads as zeros.
All four are dealt with in this file, which is the only one that creates or opens arrays.

Inner chunks are one row of up to 65,536 elements: pcodec models a chunk with one histogram, and the rows of a column differ,
most of them being nearly silent. Rows so short that a chunk of one would be below LEAST_CHUNK share one.
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

RESERVED_AXES = ("entry", "example", "token", "basis")
"""The axes of the format itself; any other plain name is the axis of some tokens, such as `input`."""
CODECS = ("pcodec", "zstd")
COLUMN_CHUNK = 65_536
LEAST_CHUNK = 8192
"""Elements below which a chunk's own overhead, in bytes and in time, outweighs what a histogram per row saves."""
ENTRY_CHUNK = 4096
"""Elements per chunk on the axis `entry`, whose columns are laid out so that near elements resemble each other."""
_opening = threading.Lock()

Values = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """Values to be stored, with the axis that they run along."""

    values: Values
    """[n] or [rows, n], integers or float32 or float64; the last axis is the declared one."""
    axis: str
    """One of RESERVED_AXES, or the name of some tokens."""

    def __post_init__(self) -> None:
        if not is_axis(self.axis):
            raise ValueError(f"the axis of a column should be a plain lower-case name, not {self.axis!r}")
        if self.values.ndim not in (1, 2):
            raise ValueError(f"a column has one or two dimensions, not {self.values.ndim}")
        if self.values.dtype.kind not in "iu" and self.values.dtype not in (np.float32, np.float64):
            raise TypeError(f"a column holds integers, float32 or float64, not {self.values.dtype}")


def smallest_integer(values: Values, codec: str) -> Values:
    """The same integers in the smallest dtype that holds them and that the codec takes; floats pass unchanged.

    Unsigned when nothing is negative. pcodec takes 16 bits or more, zstd 8 or more. Raises TypeError for other dtypes.
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

    Raises ValueError for an unknown codec, OSError from the file system (FileExistsError where the array exists).
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
    """A local store in which a missing file is an error: Zarr reads a missing chunk as zeros and says nothing."""

    async def get(
        self, key: str, prototype: BufferPrototype | None = None, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        found = await super().get(key, prototype, byte_range)
        if found is None:
            raise CacheDamagedError(f"{self.root / key} is missing: this folder must be dumped again")
        return found


@held_back()
def open_column(folder: Path, name: str) -> zarr.Array[Any]:
    """The opened array `folder/name`, for `read_part`. Raises FileNotFoundError where there is none."""
    with _quiet():
        return zarr.open_array(_StrictStore(folder / name, read_only=True), mode="r", zarr_format=3)


def read_column(folder: Path, name: str) -> Values:
    """The whole column, [n] or [rows, n], in its stored dtype."""
    array = open_column(folder, name)
    return read_part(array, 0, array.shape[-1])


def read_slice(folder: Path, name: str, start: int, stop: int) -> Values:
    """Elements start to stop of the last axis, decoding only the inner chunks that they lie in."""
    return read_part(open_column(folder, name), start, stop)


@held_back()
def read_part(array: zarr.Array[Any], start: int, stop: int) -> Values:
    """`read_slice` of an opened array. Raises IndexError outside 0 <= start <= stop <= n: numpy would return less."""
    if not 0 <= start <= stop <= array.shape[-1]:
        raise IndexError(f"elements {start} to {stop} of a column of {array.shape[-1]}")
    if start == stop or 0 in array.shape:
        return np.empty((*array.shape[:-1], stop - start), array.dtype)
    return _as_written(array, np.asarray(array[..., start:stop]))


@held_back()
def read_rows(array: zarr.Array[Any], start: int, stop: int) -> Values:
    """Rows start to stop of an opened array [rows, n]. Raises IndexError outside 0 <= start <= stop <= rows."""
    if not 0 <= start <= stop <= array.shape[0]:
        raise IndexError(f"rows {start} to {stop} of a column of {array.shape[0]}")
    if start == stop or 0 in array.shape:
        return np.empty((stop - start, *array.shape[1:]), array.dtype)
    return _as_written(array, np.asarray(array[start:stop]))


def _as_written(array: zarr.Array[Any], stored: Values) -> Values:
    """Stored values without the array's offset."""
    offset = array.attrs.get("offset", 0)
    assert isinstance(offset, int)
    return np.ascontiguousarray(_shifted(stored, -offset))


def _shifted(values: Values, offset: int) -> Values:
    """`values + offset` modulo the word of their dtype; the same array when the offset is 0."""
    if not offset:
        return values
    unsigned = values.view(values.dtype.str.replace("i", "u"))
    shifted: Values = unsigned + np.array(offset % 2 ** (8 * values.itemsize), unsigned.dtype)
    return shifted.view(values.dtype)


def _chunk_shape(shape: tuple[int, ...], elements: int) -> tuple[int, ...]:
    """One row in even parts of at most so many elements; of short rows as many as make a chunk worth its overhead."""
    parts = max(1, ceil(shape[-1] / elements))
    length = ceil(shape[-1] / parts) or 1
    return (*(min(rows, max(1, LEAST_CHUNK // length)) or 1 for rows in shape[:-1]), length)


def _codec_arguments(codec: str, itemsize: int) -> dict[str, Any]:
    """Serializer and compressor for `zarr.create_array`; "zstd" is made of codecs of the Zarr v3 core alone."""
    if codec == "pcodec":
        return {"serializer": PCODEC, "compressors": None}
    return {"compressors": BloscCodec(cname="zstd", clevel=1, shuffle="shuffle", typesize=itemsize, blocksize=0)}


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the warning that pcodec is no part of the Zarr v3 specification; SPEC.md says so once.

    `warnings.catch_warnings` changes process-wide state, hence the lock.
    """
    with _opening, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*not in the Zarr version 3 specification.*")
        yield
