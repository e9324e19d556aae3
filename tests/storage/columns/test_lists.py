"""Ragged lists in a flat column: whatever goes in comes out, and neighbours are what the layouts promise."""

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from miniend.storage.columns.lists import by_place, from_places, from_set_gaps, set_gaps, starts_of

LISTS = st.lists(st.lists(st.integers(-500, 500), max_size=8), max_size=12)
SETS = st.lists(st.lists(st.integers(0, 60), max_size=8).map(sorted), max_size=12)


def laid(lists, dtype=np.int64):
    """End to end, and the sizes in a small type, as they come from a column."""
    return np.array([value for part in lists for value in part], dtype), np.array(
        [len(part) for part in lists], np.uint8
    )


def test_lists_begin_where_the_one_before_ends():
    """An empty list begins where the next one does."""
    assert starts_of(np.array([2, 0, 3])).tolist() == [0, 2, 2, 5]
    assert starts_of(np.array([], np.uint8)).tolist() == [0]
    assert starts_of(np.full(300, 200, np.uint8))[-1] == 60_000, "small types overflow"


@given(LISTS)
@example([[], [], []])
@example([[], [7, 7, 7], [], [7]])
def test_places_are_undone_exactly(lists):
    """A list that takes an entry of another is as plausible as the right one."""
    values, sizes = laid(lists)
    stored = by_place(values, sizes)
    assert np.array_equal(from_places(stored, sizes), values)
    longest = max(map(len, lists), default=0)
    assert stored.tolist() == [part[place] for place in range(longest) for part in lists if place < len(part)]


@given(SETS)
@example([])
@example([[], [], []])
@example([[0, 0, 0], [], [0], [5, 5, 9]])
def test_gaps_of_sets_are_undone_exactly_and_never_negative(lists):
    """Repeats and zeros are draws like any other; a negative gap would double the bits of the column."""
    values, sizes = laid(lists)
    stored = set_gaps(values, sizes)
    assert stored.dtype == np.int64
    assert (stored >= 0).all()
    assert np.array_equal(from_set_gaps(stored, sizes), values)


@given(SETS)
def test_gaps_come_back_from_the_small_types_of_a_column(lists):
    """A column returns the smallest type that holds it, in which a sum overflows."""
    scaled = [[value * 4 for value in part] for part in lists]
    values, sizes = laid(scaled, np.uint16)
    assert np.array_equal(from_set_gaps(set_gaps(values, sizes).astype(np.uint8), sizes), values)


@given(SETS)
def test_sets_are_grouped_by_what_is_to_come_and_sorted_by_the_entry_before(lists):
    """Both ends agree on any order; this one is the one of the specification, and the one that compresses."""
    expected = []
    for left in range(max(map(len, lists), default=0), 0, -1):
        group = [([0, *part][len(part) - left], part[-left]) for part in lists if len(part) >= left]
        expected += [value - before for before, value in sorted(group, key=lambda pair: pair[0])]
    assert set_gaps(*laid(lists)).tolist() == expected


def test_a_small_example_is_laid_out_as_written_by_hand():
    """The specification's own example."""
    values, sizes = laid([[4, 9, 9], [], [7], [2, 3]])
    assert by_place(values, sizes).tolist() == [4, 7, 2, 9, 3, 9]
    # three to come: 4 of the first list, from 0. Two: 9 after 4 and 2 after 0. One: 9 after 9, 7 after 0, 3 after 2.
    assert set_gaps(values, sizes).tolist() == [4, 2 - 0, 9 - 4, 7 - 0, 3 - 2, 9 - 9]
