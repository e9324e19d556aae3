"""Columns: whatever goes in comes out, in one data file, in the smallest dtype, near the entropy."""

import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from miniend.errors import CacheDamagedError
from miniend.storage.columns import columns as columns_module
from miniend.storage.columns.columns import (
    CODECS,
    RESERVED_AXES,
    Column,
    read_column,
    read_slice,
    smallest_integer,
    write_column,
)

INTEGERS = hnp.arrays(
    hnp.integer_dtypes(endianness="?") | hnp.unsigned_integer_dtypes(endianness="?"),
    hnp.array_shapes(min_dims=1, max_dims=2, min_side=0, max_side=40),
)
FLOATS = hnp.arrays(
    st.sampled_from([np.float32, np.float64]), hnp.array_shapes(min_dims=1, max_dims=2, min_side=0, max_side=20)
)


def round_trip(values, codec):
    with tempfile.TemporaryDirectory() as folder:
        write_column(Path(folder), "c", Column(values=values, axis="token"), codec)
        return read_column(Path(folder), "c")


@given(INTEGERS, st.booleans(), st.sampled_from(CODECS))
@example(np.array([-(2**63), 2**63 - 1]), False, "pcodec")
@example(np.array([-(2**63), 2**63 - 1, 0, -128, -129]), False, "zstd")
@example(np.array([0, 2**64 - 1], np.uint64), False, "zstd")
@example(np.array([-(2**15), 2**15 - 1]), False, "zstd")
@example(np.zeros((0, 3), np.int32), False, "pcodec")
@settings(max_examples=60, deadline=None)
def test_integers_come_back_whatever_their_dtype_shape_and_memory_order(values, fortran, codec):
    """pcodec flattens in memory order: an F-ordered block would come back permuted, without any error."""
    stored = round_trip(np.asfortranarray(values) if fortran else values, codec)
    assert np.array_equal(stored, values)
    assert stored.dtype.itemsize <= max(values.dtype.itemsize, 2)


@given(FLOATS, st.sampled_from(CODECS))
@settings(max_examples=30, deadline=None)
def test_floats_come_back_bit_for_bit(values, codec):
    """Zarr leaves out chunks that equal the fill value, and -0.0 equals 0.0; a NaN's payload is easily lost too."""
    stored = round_trip(values, codec)
    assert stored.dtype == values.dtype
    assert stored.tobytes() == values.tobytes()


def test_negative_zeros_alone_stay_negative():
    """The column that the fill value would swallow whole."""
    assert np.signbit(round_trip(-np.zeros(5), "pcodec")).all()


@given(INTEGERS, st.sampled_from(CODECS))
def test_the_smallest_dtype_holds_every_value(values, codec):
    """Saturation is silent."""
    small = smallest_integer(values, codec)
    assert np.array_equal(small.astype(object), values.astype(object))
    assert codec == "zstd" or small.dtype.itemsize >= 2


@pytest.mark.parametrize(
    ("low", "high", "codec", "dtype"),
    [
        (0, 255, "zstd", "uint8"),
        (0, 256, "zstd", "uint16"),
        (-128, 127, "zstd", "int8"),
        (-129, 127, "zstd", "int16"),
        (-128, 128, "zstd", "int16"),
        (0, 3, "pcodec", "uint16"),
        (-1, 3, "pcodec", "int16"),
        (0, 65_536, "pcodec", "uint32"),
        (-32_769, 0, "pcodec", "int32"),
        (0, 2**63, "pcodec", "uint64"),
    ],
)
def test_the_smallest_dtype_is_chosen_at_its_limits(low, high, codec, dtype):
    """One off at a limit costs a factor of two in bytes or wraps the largest value."""
    values = np.array([low, high], np.uint64 if low >= 0 else np.int64)
    assert smallest_integer(values, codec).dtype == dtype


@pytest.mark.parametrize("codec", CODECS)
def test_a_slice_is_the_slice_of_the_whole_across_inner_chunks(tmp_path, monkeypatch, codec):
    """A slice that ends at a chunk's edge returns neighbours' tokens when the arithmetic is one off."""
    monkeypatch.setattr(columns_module, "COLUMN_CHUNK", 64)
    values = np.random.default_rng(0).integers(-300, 300, (19, 100))
    write_column(tmp_path, "c", Column(values=values, axis="input"), codec)
    for start, stop in [(0, 100), (0, 0), (100, 100), (3, 4), (7, 8), (8, 17), (1, 99)]:
        part = read_slice(tmp_path, "c", start, stop)
        assert np.array_equal(part, values[:, start:stop])
        assert part.flags.writeable
        assert part.flags.c_contiguous


@pytest.mark.parametrize("bounds", [(-1, 2), (3, 2), (0, 11), (12, 12)])
def test_a_slice_outside_the_column_is_refused(tmp_path, bounds):
    """numpy would return fewer elements: an example with a truncated or missing signal."""
    write_column(tmp_path, "c", Column(values=np.arange(10), axis="input"), "pcodec")
    with pytest.raises(IndexError):
        read_slice(tmp_path, "c", *bounds)


@pytest.mark.parametrize("codec", CODECS)
def test_a_slice_decodes_only_the_chunks_that_it_needs(tmp_path, monkeypatch, codec):
    """One example must not cost a shard: damage elsewhere in the file is not even noticed by a slice."""
    monkeypatch.setattr(columns_module, "COLUMN_CHUNK", 1000)
    values = np.random.default_rng(0).integers(0, 30_000, 10_000)
    write_column(tmp_path, "c", Column(values=values, axis="input"), codec)
    data = tmp_path / "c" / "c" / "0"
    content = bytearray(data.read_bytes())
    content[100:600] = bytes(500)
    data.write_bytes(content)
    assert np.array_equal(read_slice(tmp_path, "c", 9000, 10_000), values[9000:])


def test_a_data_file_that_vanishes_under_an_open_array_is_an_error(tmp_path):
    """Zarr reads a missing chunk as zeros: a shard removed during training would become a silent teacher of nothing."""
    write_column(tmp_path, "c", Column(values=np.arange(1, 9), axis="input"), "pcodec")
    array = columns_module.open_column(tmp_path, "c")
    (tmp_path / "c" / "c" / "0").unlink()
    with pytest.raises(CacheDamagedError, match="is missing"):
        columns_module.read_part(array, 0, 3)
    with pytest.raises(FileNotFoundError):
        read_column(tmp_path, "nothing")


def test_a_column_is_one_data_file_with_named_axes_and_no_transpose(tmp_path):
    """A transpose codec before pcodec reads back wrong; many files per column strain every file system."""
    write_column(tmp_path, "c", Column(values=np.zeros((40, 9000), np.int16), axis="target"), "pcodec")
    assert sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()) == [
        "c/c/0/0",
        "c/zarr.json",
    ]
    metadata = json.loads((tmp_path / "c" / "zarr.json").read_text())
    assert metadata["dimension_names"] == ["row", "target"]
    inner = metadata["codecs"][0]["configuration"]["codecs"]
    assert [codec["name"] for codec in inner] == ["numcodecs.pcodec"]


def test_zstd_columns_use_core_codecs_and_their_offset_is_stated(tmp_path):
    """Any Zarr v3 implementation must open them; what it reads is the value plus the attribute `offset`."""
    values = np.array([-1000, 0, 1000])
    write_column(tmp_path, "c", Column(values=values, axis="target"), "zstd")
    array = zarr.open_array(tmp_path / "c", mode="r")
    assert array.attrs["offset"] == 128
    assert np.array_equal(np.asarray(array[:]), values + 128)
    inner = json.loads((tmp_path / "c" / "zarr.json").read_text())["codecs"][0]["configuration"]["codecs"]
    assert [codec["name"] for codec in inner] == ["bytes", "blosc"]


@pytest.mark.parametrize(("codec", "limit"), [("pcodec", 1.03), ("zstd", 1.12)])
def test_coefficients_cost_little_more_than_their_entropy(tmp_path, codec, limit):
    """A careless chunk shape costs a quarter more bytes and nothing else would tell."""
    scales = np.geomspace(50, 0.3, 64)[:, None]
    values = np.rint(np.random.default_rng(0).laplace(size=(64, 16_384)) * scales).astype(np.int32)
    write_column(tmp_path, "c", Column(values=values, axis="input"), codec)
    entropy = 0.0
    for row in values:
        share = np.unique(row, return_counts=True)[1] / row.size
        entropy -= row.size / 8 * float((share * np.log2(share)).sum())
    assert sum(p.stat().st_size for p in tmp_path.rglob("*") if p.is_file()) < limit * entropy


def test_columns_refuse_what_they_cannot_hold(tmp_path):
    """An object array would ask for pickle, a third axis would lose its name."""
    with pytest.raises(ValueError, match="axis"):
        Column(values=np.zeros(3), axis="Time")
    with pytest.raises(ValueError, match="dimensions"):
        Column(values=np.zeros((1, 2, 3)), axis=RESERVED_AXES[0])
    for dtype in (object, bool, np.float16, complex, "M8[s]"):
        with pytest.raises(TypeError):
            Column(values=np.zeros(3, dtype), axis=RESERVED_AXES[0])
    with pytest.raises(ValueError, match="codec"):
        write_column(tmp_path, "c", Column(values=np.zeros(3), axis=RESERVED_AXES[0]), "lz4")
