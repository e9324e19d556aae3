"""Check `zarr.json` and the shard index of a column (SPEC.md, section 4) before zarr acts on them.

zarr instantiates any registered codec and allocates whatever a shape says. A wrong writer can seal a document correctly, so we
trust neither. The metadata must be one of the forms in this file. The data file must be long enough for the number of elements.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

CHUNK_ELEMENTS = 131_072
"""The largest number of elements of an inner chunk, which bounds the memory that a data file can claim."""
OFFSET = 128
"""The number that we add (modulo the word) to wide signed integers before zstd, so that small values have zero high bytes."""
PCODEC = {
    "name": "numcodecs.pcodec",
    "configuration": {
        "level": 8,
        "mode_spec": "auto",
        "delta_spec": "auto",
        "paging_spec": "equal_pages_up_to",
        "delta_encoding_order": None,
        "equal_pages_up_to": 262_144,
    },
}
DTYPES = (*(f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)), "float32", "float64")
LARGEST = 2**48
"""The largest length of an axis of an array."""
BLOSC_HEADER = 16
_LITTLE = {"name": "bytes", "configuration": {"endian": "little"}}


@dataclass(frozen=True, slots=True)
class Form:
    """How a column's data file is cut; `check_metadata` returns it and `check_index` needs it."""

    data: str
    """The data file's path inside the column, or "" for an array without elements."""
    chunks: int
    """The number of inner chunks."""
    chunk_bytes: int
    """The bytes of a decoded inner chunk."""
    blosc: bool
    """Whether chunks have the header of blosc."""


def check_metadata(data: bytes, info: dict[str, Any], sizes: dict[str, int]) -> Form:
    """Return the form of a column whose zarr.json is `data` and whose document says `info`; `sizes` are the bytes of its files.

    Raises ValueError for metadata that SPEC.md does not allow or that promises more than the files can hold.
    """
    metadata, shape = _parse(data), info["shape"]
    if (metadata.get("data_type"), metadata.get("shape")) != (info["dtype"], shape):
        raise ValueError(f"expected {info['dtype']} {shape}, found {metadata.get('data_type')} {metadata.get('shape')}")
    inner = _inner_shape(metadata, shape)
    written = json.dumps(metadata, sort_keys=True)  # unlike Python's equality, text tells 1 from true and from 1.0
    forms = {name: _template(info, inner, *codecs) for name, codecs in _codecs(info["dtype"]).items()}
    codec = next((name for name, form in forms.items() if json.dumps(form, sort_keys=True) == written), None)
    if codec is None:
        raise ValueError("its metadata has none of the forms that the format allows (storage/SPEC.md, section 4)")
    return _form(shape, inner, info["dtype"], sizes, blosc=codec == "zstd")


def check_index(path: Path, form: Form) -> None:
    """Raise ValueError unless the data file's index places every inner chunk inside the file, in at most its bytes together.

    Zarr reads a chunk that the index leaves out as zeros without an error.
    """
    with path.open("rb") as stream:
        room = stream.seek(0, 2) - 16 * form.chunks - 4
        stream.seek(room)
        index = np.frombuffer(stream.read(16 * form.chunks), "<u8").reshape(-1, 2)
        offsets, lengths = index[:, 0], index[:, 1]
        inside = (lengths >= 1) & (lengths <= room) & (offsets <= room)
        if not inside.all() or not (lengths <= room - offsets).all() or float(lengths.sum(dtype=np.float64)) > room:
            raise ValueError("the index of its chunks points outside of the file")
        if form.blosc:
            _check_blosc(stream, index, form.chunk_bytes)


def _check_blosc(stream: Any, index: Any, chunk_bytes: int) -> None:
    """Raise ValueError if a chunk's own header asks for other lengths, because decoding allocates what it says."""
    for offset, length in index.tolist():
        stream.seek(offset)
        header = np.frombuffer(stream.read(BLOSC_HEADER).ljust(BLOSC_HEADER, b"\0"), "<u4")
        if (int(header[1]), int(header[3])) != (chunk_bytes, length):
            raise ValueError(f"a chunk of {chunk_bytes:,} bytes claims to have {int(header[1]):,}")


def _parse(data: bytes) -> dict[str, Any]:
    try:
        metadata = json.loads(data)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if not isinstance(metadata, dict):
        raise ValueError("it is not a JSON object")
    return {"attributes": {}, "storage_transformers": [], **metadata}


def _inner_shape(metadata: dict[str, Any], shape: Sequence[int]) -> list[int]:
    """Return the inner chunks' shape, the only thing that a writer can choose."""
    try:
        inner = metadata["codecs"][0]["configuration"]["chunk_shape"]
        sound = len(inner) == len(shape) and all(type(n) is int for n in inner)
        sound = sound and all(1 <= n <= max(1, length) for n, length in zip(inner, shape, strict=True))
    except (KeyError, IndexError, TypeError):
        sound = False
    if not sound or prod(inner) > CHUNK_ELEMENTS:
        raise ValueError(
            f"its inner chunks should divide {list(shape)} into parts of at most {CHUNK_ELEMENTS:,} elements"
        )
    return list(inner)


def _codecs(dtype: str) -> dict[str, tuple[list[dict[str, Any]], int]]:
    """Return the inner codecs that a data type may have, by the name of the cache's codec, each with its offset."""
    size = np.dtype(dtype).itemsize
    blosc = {"typesize": size, "cname": "zstd", "clevel": 1, "shuffle": "shuffle", "blocksize": 0}
    zstd = [{"name": "bytes"} if size == 1 else _LITTLE, {"name": "blosc", "configuration": blosc}]
    codecs = {"zstd": (zstd, OFFSET if dtype.startswith("int") and size > 1 else 0)}
    return codecs if size == 1 else {"pcodec": ([PCODEC], 0), **codecs}


def _template(info: dict[str, Any], inner: list[int], codecs: list[dict[str, Any]], offset: int) -> dict[str, Any]:
    """Return the whole metadata of a column, as SPEC.md gives it."""
    sharding = {
        "chunk_shape": inner,
        "codecs": codecs,
        "index_codecs": [_LITTLE, {"name": "crc32c"}],
        "index_location": "end",
    }
    shard = [max(1, -(-n // chunk)) * chunk for n, chunk in zip(info["shape"], inner, strict=True)]
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": info["shape"],
        "data_type": info["dtype"],
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": shard}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": 0.0 if info["dtype"].startswith("float") else 0,
        "codecs": [{"name": "sharding_indexed", "configuration": sharding}],
        "attributes": {"offset": offset} if offset else {},
        "dimension_names": ["row", info["axis"]][-len(inner) :],
        "storage_transformers": [],
    }


def _form(shape: Sequence[int], inner: list[int], dtype: str, sizes: dict[str, int], blosc: bool) -> Form:
    """Compare the number of chunks with the lengths of the files, and return the form."""
    data = "/".join(["c", *"0" * len(shape)]) if prod(shape) else ""
    if set(sizes) != {"zarr.json", data} - {""}:
        raise ValueError(
            f"its files should be zarr.json{' and ' + data if data else ''}, found {', '.join(sorted(sizes))}"
        )
    chunks = prod(-(-n // chunk) for n, chunk in zip(shape, inner, strict=True))
    if data and 17 * chunks + 4 > sizes[data]:
        raise ValueError(f"{prod(shape):,} elements in {chunks:,} chunks do not fit in {sizes[data]:,} bytes")
    return Form(data, chunks, prod(inner) * np.dtype(dtype).itemsize, blosc)
