"""Positions as text: what is written is read back, and what cannot be is refused with the length of the table."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miniend.errors import ConfigurationError
from miniend.storage.positions import parse_ranges, positions_in, positions_text


@pytest.mark.parametrize(
    ("text", "found"),
    [("0:3", [0, 1, 2]), (":2", [0, 1]), ("4:", [4, 5]), (":", [0, 1, 2, 3, 4, 5]), ("5:6, 0:1,0:2", [0, 1, 5])],
)
def test_ranges_are_half_open_and_may_be_open(text, found):
    """One shard more or less, and two halves overlap or leave a hole."""
    assert positions_in(text, 6) == found


@pytest.mark.parametrize("text", ["", "3", "a:b", "-1:2", "0:2:1", "0:1,", "0-3"])
def test_another_form_is_refused(text):
    """Guessing what was meant would dump the wrong part for hours."""
    with pytest.raises(ConfigurationError, match="expected half-open ranges A:B"):
        parse_ranges(text)


@pytest.mark.parametrize("text", ["2:2", "3:1", ":0", "0:1,4:4"])
def test_an_empty_range_is_refused(text):
    """Nothing to do is never what was meant."""
    with pytest.raises(ConfigurationError, match="are none: the end of a range is excluded"):
        parse_ranges(text)


@pytest.mark.parametrize("text", ["6:", "0:7", "6:7", "0:2,5:9"])
def test_a_range_outside_of_the_table_is_refused_with_its_length(text):
    """Cutting it off in silence would hide a mistake in the arithmetic of a job array."""
    with pytest.raises(ConfigurationError, match=re.escape("the table has 6 shards, 0:6")):
        positions_in(text, 6)


@given(st.sets(st.integers(0, 40), min_size=1))
def test_any_set_of_positions_reads_back(positions):
    """A run records what it took in this form, and takes it again years later."""
    assert positions_in(positions_text(positions), 41) == sorted(positions)
