"""What a keep fraction leaves: never nothing, never more than there is, and more of it never less."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miniend.errors import ConfigurationError
from miniend.models.pruning.widths import Widths, kept_widths

FULL = st.builds(Widths, st.integers(1, 130), st.integers(1, 20_000))
KEEP = st.floats(0, 1, exclude_min=True)


@pytest.mark.parametrize(
    ("full", "keep", "expected"),
    [
        (Widths(12, 3072), 0.3, Widths(4, 896)),
        (Widths(8, 1024), 0.5, Widths(4, 512)),
        (Widths(12, 2048), 0.01, Widths(1, 64)),
        (Widths(4, 32), 0.5, Widths(2, 32)),
        (Widths(6, 100), 0.99, Widths(6, 100)),
        (Widths(6, 100), 1, Widths(6, 100)),
    ],
)
def test_widths_are_those_of_the_formula_and_of_a_narrow_feed_forward_all(full, keep, expected):
    """Expected values by hand: h' = max(1, round(c h)), d_ff' = max(64, 64 round(c d_ff / 64)), at most d_ff."""
    assert kept_widths(full, keep) == expected


@given(FULL, KEEP, KEEP)
def test_a_smaller_fraction_never_keeps_more(full, one, other):
    """The candidates of a schedule are nested only if this holds."""
    small, large = (kept_widths(full, keep) for keep in sorted((one, other)))
    assert 1 <= small.heads <= large.heads <= full.heads
    assert 1 <= small.d_ff <= large.d_ff <= full.d_ff


@pytest.mark.parametrize("keep", [0, -0.5, 1.01, float("nan")])
def test_a_fraction_that_is_none_is_refused(keep):
    """More than all would be a silent copy of the teacher."""
    with pytest.raises(ConfigurationError, match="at most 1"):
        kept_widths(Widths(8, 64), keep)
