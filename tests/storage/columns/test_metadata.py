"""zarr.json and the shard index are held against the format before zarr acts on them, however well they are sealed."""

import json

import numpy as np
import pytest

from miniend.errors import CacheDamagedError
from miniend.storage.columns.columns import Column
from miniend.storage.folder import PublishedFolder, publish_folder
from support.damage import document_of, reseal

FOLDER = "shards/train-000000"
NONE_SUCH = (2**64 - 1).to_bytes(8, "little")


@pytest.fixture(params=["pcodec", "zstd"])
def cache(request, tmp_path):
    """One folder with one column of 40 x 20,000 in several inner chunks."""
    values = np.random.default_rng(0).integers(-300, 300, (40, 20_000))
    publish_folder(tmp_path / FOLDER, "marker", {}, {"c": Column(values=values, axis="input")}, codec=request.param)
    return tmp_path


def refuse(cache, said, metadata=None, info=None, data=None):
    """Write what is given, seal it rightly, and look that the column is refused for that reason."""
    path, document = cache / FOLDER / "c", document_of(cache, FOLDER)
    if metadata is not None:
        (path / "zarr.json").write_text(json.dumps(metadata))
    if data is not None:
        (path / "c" / "0" / "0").write_bytes(data)
    document["columns"]["c"] |= info or {}
    reseal(cache, FOLDER, document, relist=True)
    with pytest.raises(CacheDamagedError, match=said):
        PublishedFolder(cache / FOLDER, "marker").column("c")


def read(cache):
    path = cache / FOLDER / "c"
    return json.loads((path / "zarr.json").read_text()), bytearray((path / "c" / "0" / "0").read_bytes())


def test_an_array_that_its_file_cannot_hold_is_refused_before_it_is_allocated(cache):
    """More chunks than the file can index, though few enough for the whole folder; the document says the same."""
    metadata, _ = read(cache)
    metadata["shape"] = [40, 10**6]
    inner = metadata["codecs"][0]["configuration"]["chunk_shape"] = [1, 500]
    metadata["chunk_grid"]["configuration"]["chunk_shape"] = [
        -(-n // m) * m for n, m in zip([40, 10**6], inner, strict=True)
    ]
    refuse(cache, "do not fit in", metadata, {"shape": [40, 10**6]})


def test_columns_much_larger_than_all_files_are_refused_before_they_are_allocated(cache):
    """A few hundred kilobytes of files that ask for 80 terabytes of memory."""
    metadata, _ = read(cache)
    refuse(cache, "cannot be packed into", metadata, {"shape": [40, 10**12]})


@pytest.mark.parametrize("inner", [[40, 20_000], [0, 1], [1], [-1, 5], [True, 5], "x", None, [41, 1], [1, 1.0]])
def test_inner_chunks_that_the_format_does_not_know_are_refused(cache, inner):
    """What a chunk decodes to is what a reader allocates."""
    metadata, _ = read(cache)
    metadata["codecs"][0]["configuration"]["chunk_shape"] = inner
    refuse(cache, "inner chunks should", metadata)


@pytest.mark.parametrize(
    "change",
    [
        {"codecs": [{"name": "numcodecs.pickle", "configuration": {}}]},
        {"fill_value": 1},
        {"fill_value": False},
        {"zarr_format": 2},
        {"attributes": {"offset": 1}},
        {"storage_transformers": [{"name": "x"}]},
        {"chunk_key_encoding": {"name": "v2", "configuration": {"separator": "/"}}},
        {"dimension_names": ["row", "target"]},
        {"more": 1},
    ],
    ids=str,
)
def test_metadata_of_another_form_is_refused(cache, change):
    """Zarr would load any codec that is registered, and fill with any value."""
    metadata, _ = read(cache)
    refuse(cache, "none of the forms|inner chunks should", {**metadata, **change})


def test_another_inner_codec_is_refused(cache):
    """Numcodecs registers some that run code."""
    metadata, _ = read(cache)
    metadata["codecs"][0]["configuration"]["codecs"] = [{"name": "numcodecs.zlib", "configuration": {"level": 1}}]
    refuse(cache, "none of the forms", metadata)


@pytest.mark.parametrize("entry", [NONE_SUCH * 2, (2**40).to_bytes(8, "little") + b"\1" + bytes(7), bytes(16)])
def test_an_index_that_leaves_a_chunk_out_or_points_beyond_is_refused(cache, entry):
    """Zarr reads a chunk that is not there as zeros and says nothing; the index's own checksum is right here."""
    from google_crc32c import value as crc32c

    _, data = read(cache)
    chunks = len(read_index(cache))
    at = len(data) - 16 * chunks - 4
    data[at : at + 16] = entry
    data[-4:] = crc32c(bytes(data[at:-4])).to_bytes(4, "little")
    refuse(cache, "index of its chunks points outside", data=bytes(data))


def read_index(cache):
    metadata, data = read(cache)
    inner = metadata["codecs"][0]["configuration"]["chunk_shape"]
    chunks = (-(-40 // inner[0])) * (-(-20_000 // inner[1]))
    return np.frombuffer(bytes(data[-16 * chunks - 4 : -4]), "<u8").reshape(-1, 2)


def test_a_chunk_that_claims_to_be_larger_is_refused(cache):
    """Blosc allocates what the header of a chunk says; pcodec checks it itself."""
    metadata, data = read(cache)
    if metadata["codecs"][0]["configuration"]["codecs"][0]["name"] == "numcodecs.pcodec":
        data[0:4] = b"none"
        refuse(cache, "does not decode", data=bytes(data))
        data[0:10] = bytes.fromhex("70636f21030000040100")  # a stream of no elements
        return refuse(cache, "does not decode", data=bytes(data))
    data[4:8] = (2**31).to_bytes(4, "little")
    refuse(cache, "claims to have 2,147,483,648", data=bytes(data))
