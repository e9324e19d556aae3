"""Records: what goes in comes out, and small integers take few bytes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from miniend.student_train.reading.records import Unpacker, fold, pack, pack_count, pack_unsigned, unfold

BLOCKS = st.sampled_from(["i1", "i2", "i4", "i8", "u1", "u2", "u4"]).flatmap(
    lambda dtype: arrays.arrays(
        dtype,
        st.one_of(st.tuples(st.integers(0, 70)), st.tuples(st.integers(0, 7), st.integers(0, 30))),
        elements=st.integers(max(-(2**31), np.iinfo(dtype).min), min(2**31 - 1, np.iinfo(dtype).max)),
    )
)


@given(st.lists(BLOCKS, max_size=4))
@settings(max_examples=200, deadline=None)
def test_blocks_come_back_one_after_the_other(blocks):
    """One bit lost here is a teacher that never was."""
    reader = Unpacker(b"".join(pack(block) for block in blocks) + pack_count(len(blocks)))
    for block in blocks:
        found = reader.block()
        assert found.shape == np.atleast_2d(block).shape
        assert np.array_equal(found, np.atleast_2d(block))
    assert reader.count() == len(blocks)
    assert reader.at == len(reader.record)


@pytest.mark.parametrize("dtype", ["i2", "i4"])
def test_folding_is_undone(dtype):
    """The extremes are where two's complement has one more number below than above."""
    limits = np.iinfo(dtype)
    values = np.array([0, -1, 1, -128, 127, limits.min, limits.max], dtype)
    assert fold(values)[:3].tolist() == [0, 1, 2]
    assert np.array_equal(unfold(fold(values)), values)


def test_types_come_from_the_values():
    """A batch is as wide as its widest block: a byte an integer costs the device a quarter of four."""
    for low, high, dtype in ((-128, 127, np.int8), (-129, 127, np.int16), (-40000, 0, np.int32), (0, 255, np.uint8)):
        assert Unpacker(pack(np.array([low, high], np.int32))).block().dtype == dtype
    assert Unpacker(pack_unsigned(fold(np.array([[0, 3]], np.int16)), folded=True)).block().dtype == np.int8


def test_silence_takes_no_room_and_small_integers_little():
    """Most components of most tokens are zero."""
    assert len(pack(np.zeros((700, 100), np.int16))) < 20
    rng = np.random.default_rng(0)
    assert len(pack(rng.integers(-1, 2, (100, 57)).astype(np.int16))) < 100 * 57 * 0.28
