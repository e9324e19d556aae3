"""A chunk of pcodec is decoded into the memory that its shape needs, whatever its stream holds."""

import google_crc32c
import numpy as np
import pytest
import zarr
from pcodec import ChunkConfig, standalone

from miniend.errors import CacheDamagedError
from miniend.storage.columns.columns import Column
from miniend.storage.columns.pcodec import BoundedPCodec
from miniend.storage.folder import PublishedFolder, publish_folder
from support.damage import document_of, reseal

FOLDER = "shards/train-000000"


@pytest.fixture
def cache(tmp_path):
    values = np.arange(3000) % 700
    publish_folder(tmp_path / FOLDER, "marker", {}, {"c": Column(values=values, axis="input")})
    return tmp_path


def put_stream(cache, stream):
    """Make a stream the only chunk of the column, with its index and all seals."""
    index = np.array([0, len(stream)], "<u8").tobytes()
    checksum = np.uint32(google_crc32c.value(index)).tobytes()
    (cache / FOLDER / "c" / "c" / "0").write_bytes(stream + index + checksum)
    reseal(cache, FOLDER, document_of(cache, FOLDER), relist=True)


@pytest.mark.parametrize("count", [2**24, 3001, 2999, 1])
def test_a_stream_of_another_length_is_refused_and_never_decoded_whole(cache, monkeypatch, count):
    """A few bytes can hold gigabytes of equal values; the library's own function would return them all."""
    monkeypatch.setattr(standalone, "simple_decompress", None)
    put_stream(cache, standalone.simple_compress(np.zeros(count, np.uint16), ChunkConfig()))
    with pytest.raises(CacheDamagedError, match="a chunk does not hold 3,000 values"):
        PublishedFolder(cache / FOLDER, "marker").column("c")


def test_a_stream_of_the_right_length_is_read(cache):
    """So that the test above refuses nothing else."""
    put_stream(cache, standalone.simple_compress(np.full(3000, 7, np.uint16), ChunkConfig()))
    assert (PublishedFolder(cache / FOLDER, "marker").column("c") == 7).all()


def test_other_users_of_zarr_keep_its_own_codec(cache):
    """The codec is chosen where an array is opened and not for the process."""
    with pytest.warns(UserWarning, match="not in the Zarr"):
        other = zarr.open_array(cache / FOLDER / "c", mode="r")
    assert not isinstance(other.metadata.codecs[0].codecs[0], BoundedPCodec)
