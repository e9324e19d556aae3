"""The trade-off: the candidate with the greatest t, nothing below the target, and the lambdas at which the choice changes."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miniend.recipes.schedule.choice import Scored, choose, reigns

SCORES = st.integers(0, 20).map(lambda number: number / 20)


@st.composite
def tables(draw):
    """Candidates whose sizes grow with what they keep, with coarse scores, so that there are ties; and a target."""
    sizes = sorted(draw(st.sets(st.integers(1, 16), min_size=1, max_size=8)))
    candidates = [Scored(size / 32, size / 16, draw(SCORES)) for size in sizes]
    return candidates, draw(st.sampled_from(candidates)).keep


@given(tables())
def test_lambda_0_takes_the_best_score_and_a_huge_one_the_smallest(table):
    """The two ends of the trade-off."""
    candidates, target = table
    allowed = [one for one in candidates if one.keep >= target]
    assert choose(candidates, target, 0.0).score == max(one.score for one in allowed)
    assert choose(candidates, target, 1e6).keep == target


@given(tables(), st.sampled_from([0.0, 0.1, 0.2, 1.0, 5.0]), st.randoms(use_true_random=False))
def test_the_order_of_candidates_does_not_matter(table, weight, order: random.Random):
    """Ties go to the smaller, whoever comes first."""
    candidates, target = table
    chosen = choose(candidates, target, weight)
    shuffled = list(candidates)
    order.shuffle(shuffled)
    assert choose(shuffled, target, weight) == chosen
    assert reigns(shuffled, target) == reigns(candidates, target)
    assert chosen.keep >= target
    equal = [one for one in candidates if one.keep >= target and one.tradeoff(weight) == chosen.tradeoff(weight)]
    assert chosen.size == min(one.size for one in equal)


@given(tables())
def test_the_reigns_are_those_of_brute_force(table):
    """Between two lambdas of the list the choice never changes, and at each of them it does."""
    candidates, target = table
    found = reigns(candidates, target)
    starts = [one.start for one in found]
    assert starts[0] == 0
    ends = [*starts[1:], starts[-1] + 1]
    for one, end in zip(found, ends, strict=True):
        if end - one.start > 1e-9:  # two may overtake at one lambda
            for share in (0.01, 0.5, 0.99):
                assert choose(candidates, target, one.start + share * (end - one.start)).keep == one.keep
    assert choose(candidates, target, 1e9).keep == found[-1].keep


def test_a_table_by_hand():
    """0.5 keeps 90 % of the information, 0.3 85 %, 0.1 50 %: at 0.2 the middle one is worth most."""
    candidates = [Scored(0.5, 0.5, 0.90), Scored(0.3, 0.3, 0.87), Scored(0.1, 0.1, 0.50)]
    assert choose(candidates, 0.1, 0.2).keep == 0.3
    assert [one.keep for one in reigns(candidates, 0.1)] == [0.5, 0.3, 0.1]
    assert [one.start for one in reigns(candidates, 0.1)] == pytest.approx([0.0, 0.15, 1.85])
    assert [one.keep for one in reigns(candidates, 0.3)] == [0.5, 0.3]
