"""Paired differences and their intervals."""

import random

import pytest

from miniend.evaluation.scores.differences import paired_difference


def test_the_interval_is_students_t_over_the_pairs():
    found = paired_difference([81.0, 83.0, 85.0], [80.0, 80.0, 80.0])
    assert found.mean == pytest.approx(3.0)
    assert found.margin == pytest.approx(4.302653 * 2.0 / 3**0.5)  # the tables' quantile for two degrees of freedom
    assert found.seeds == 3
    assert not found.is_shown


def test_what_rows_have_in_common_by_seed_does_not_widen_the_interval():
    luck = [0.0, 10.0, 20.0]
    found = paired_difference([x + 1.0 + e for x, e in zip(luck, (0.0, 0.01, -0.01), strict=True)], luck)
    assert found.mean == pytest.approx(1.0)
    assert found.margin < 0.05
    assert found.is_shown


def test_one_seed_gives_no_interval_and_shows_nothing():
    found = paired_difference([9.0], [1.0])
    assert (found.mean, found.margin, found.is_shown) == (8.0, None, False)


@pytest.mark.parametrize(("a", "b"), [([], []), ([1.0], [1.0, 2.0])])
def test_what_cannot_be_paired_is_refused(a, b):
    with pytest.raises(ValueError, match="cannot be paired"):
        paired_difference(a, b)


def test_of_rows_without_a_difference_one_in_twenty_shows_one():
    generator = random.Random(0)
    draws = [[generator.gauss(0, 1) for _ in range(3)] for _ in range(4000)]
    shown = sum(paired_difference(a, b).is_shown for a, b in zip(draws[::2], draws[1::2], strict=True))
    assert 70 < shown < 130  # of 2,000, 100 expected
