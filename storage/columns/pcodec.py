"""The pcodec codec, decoded into arrays of the size that the metadata gives.

numcodecs decodes as much as a stream holds. A stream of 41 kB can hold 2 GiB of equal values, so a column from a stranger could
fill the memory. Ours stops at the size of the chunk, and refuses a stream that holds less or more.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import zarr
from pcodec import standalone
from zarr.codecs.numcodecs import PCodec
from zarr.registry import register_codec

NAME = "numcodecs.pcodec"
_CLASS = f"{__name__}.BoundedPCodec"


class BoundedPCodec(PCodec):
    """zarr's codec of the same name, which never decodes more than one chunk."""

    async def _decode_single(self, chunk_data: Any, chunk_spec: Any) -> Any:
        values = await asyncio.to_thread(_decoded, chunk_data.to_bytes(), chunk_spec)
        return chunk_spec.prototype.nd_buffer.from_ndarray_like(values)


def _decoded(data: bytes, chunk_spec: Any) -> np.ndarray[Any, np.dtype[Any]]:
    """Return the values of one chunk. Raises ValueError for a stream of another length, RuntimeError for one that is broken."""
    values = np.empty(chunk_spec.shape, chunk_spec.dtype.to_native_dtype())
    progress = standalone.simple_decompress_into(data, values.reshape(-1))
    if progress.n_processed != values.size or not progress.finished:
        raise ValueError(f"a chunk does not hold {values.size:,} values")
    return values


@contextmanager
def bounded() -> Iterator[None]:
    """Inside, zarr opens and creates arrays with our codec; the arrays keep it. Everybody else's arrays keep zarr's."""
    with zarr.config.set({"codecs": {**zarr.config.get("codecs"), NAME: _CLASS}}):
        yield


register_codec(NAME, BoundedPCodec, qualname=_CLASS)
