"""Systematic draws: the expected weight of every id is its probability, and no count is off by one or more."""

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from miniend.signals.logits.draws import draw_tail

OFFSETS = 2000
EVENLY = (torch.arange(OFFSETS, dtype=torch.float64) + 0.5) / OFFSETS
"""Averaging over these is integrating over the uniform number."""


def tail(mass, ids=12, seed=0, scale=2.0):
    """[ids] probabilities that sum to `mass`, some of them zero."""
    p = (scale * torch.randn(ids, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)).softmax(0)
    p[::5] = 0.0
    return (p * mass / p.sum()).float()


def counts_of(ranks, sizes, ids):
    """How often each id was drawn at each position, [positions, ids]."""
    position = torch.repeat_interleave(torch.arange(len(sizes)), sizes)
    found = torch.zeros(len(sizes), ids, dtype=torch.long)
    return found.index_put((position, ranks), torch.ones_like(ranks), accumulate=True)


def at_every_offset(p, draws, mass=None):
    mass = p.sum().float() if mass is None else torch.tensor(mass)
    ranks, sizes = draw_tail(p.expand(OFFSETS, -1), mass.expand(OFFSETS), draws, EVENLY)
    return counts_of(ranks, sizes, len(p)), sizes, float(mass)


@pytest.mark.parametrize("draws", [1, 7, 20, 300])
@pytest.mark.parametrize("mass", [1.0, 0.62, 0.13, 0.04, 0.003])
def test_the_expected_weight_of_every_id_is_its_probability(mass, draws):
    """Anything else teaches another distribution, at every position and for ever."""
    p = tail(mass)
    counts, sizes, mass = at_every_offset(p, draws)
    weight = torch.where(sizes > 0, max(mass, 1 / draws) / sizes.clamp_min(1), 0.0)
    expected = (counts * weight[:, None]).double().mean(0)
    assert torch.allclose(expected, p.double(), atol=3 * float(weight.max()) / OFFSETS)


@pytest.mark.parametrize("draws", [1, 7, 20, 300])
@pytest.mark.parametrize("mass", [1.0, 0.62, 0.2])
def test_counts_differ_from_their_expectation_by_less_than_one(mass, draws):
    """That is what evenly spaced points have over independent ones."""
    p = tail(mass)
    counts, sizes, mass = at_every_offset(p, draws)
    expected = sizes[:, None] * (p.double() / p.double().sum())
    assert float((counts - expected).abs().max()) < 1 + 1e-6
    assert not counts[:, p == 0].any(), "what has no mass is never drawn"


@pytest.mark.parametrize("draws", [1, 20])
@pytest.mark.parametrize("mass", [1.0, 0.52, 0.12, 0.08, 0.049, 0.011])
def test_a_position_has_its_rounded_share_of_the_draws_or_a_chance_of_one(mass, draws):
    """Rounding below one draw to none would forget every confident position's tail."""
    _, sizes, mass = at_every_offset(tail(mass), draws)
    asked = draws * mass
    if asked >= 1:
        assert set(sizes.tolist()) == {round(asked)}
    else:
        assert set(sizes.tolist()) == {0, 1}
        assert float(sizes.double().mean()) == pytest.approx(asked, abs=1 / OFFSETS)


def test_below_one_draw_the_offset_is_as_even_as_above():
    """The number that decided for a draw must not also decide which one."""
    p = torch.tensor([0.01, 0.01, 0.01])
    counts, _, _ = at_every_offset(p, 20)
    assert counts.sum(0).tolist() == pytest.approx([0.2 * OFFSETS] * 3, abs=2)


def test_draws_ascend_within_a_position():
    """They are stored as gaps, which cannot be negative."""
    p = torch.stack([tail(1.0, seed=seed) for seed in range(700)])
    ranks, sizes = draw_tail(p, torch.ones(700), 20, torch.rand(700, dtype=torch.float64))
    for row in ranks.split(sizes.tolist()):
        assert (torch.diff(row) >= 0).all()


def test_more_rows_than_are_summed_at_a_time_keep_their_order():
    """A block that is lost or swapped puts one position's words into another."""
    p = torch.eye(600)
    ranks, sizes = draw_tail(p, torch.ones(600), 3, torch.rand(600, dtype=torch.float64))
    assert torch.equal(ranks, torch.arange(600).repeat_interleave(3))
    assert sizes.tolist() == [3] * 600


def test_mass_on_rows_that_may_not_be_drawn_is_shared_among_those_that_may():
    """The number of draws follows the whole tail; no draw may fall behind the last id."""
    p = tail(0.3)
    counts, sizes, _ = at_every_offset(p, 20, mass=0.6)
    assert set(sizes.tolist()) == {12}
    assert torch.allclose(counts.double().mean(0) * 0.6 / 12, 2 * p.double(), atol=2e-4)


def test_a_tail_of_nothing_gives_no_draws():
    """Neither where rounding left a mass without ids, nor where there is no mass."""
    p = torch.stack([torch.zeros(5), torch.zeros(5), torch.full((5,), 0.2)])
    for number in (0.0, 0.5, 1 - 2**-53):
        ranks, sizes = draw_tail(p, torch.tensor([0.0, 1.0, 0.0]), 20, torch.full((3,), number, dtype=torch.float64))
        assert (sizes.tolist(), len(ranks)) == ([0, 0, 0], 0)


def test_no_rows_give_no_draws():
    """A batch may be cut to nothing."""
    ranks, sizes = draw_tail(torch.zeros(0, 5), torch.zeros(0), 20, torch.zeros(0, dtype=torch.float64))
    assert (len(ranks), len(sizes)) == (0, 0)


def test_extreme_distributions_are_drawn_from_evenly():
    """All of it on one id, at either end, or nothing to choose by among a whole vocabulary."""
    rows = 32_128
    for place in (0, rows - 1):
        p = torch.zeros(1, rows)
        p[0, place] = 1.0
        for number in (0.0, 1 - 2**-53):
            ranks, _ = draw_tail(p, torch.ones(1), 50, torch.tensor([number], dtype=torch.float64))
            assert ranks.tolist() == [place] * 50
    ranks, _ = draw_tail(torch.full((1, rows), 1 / rows), torch.ones(1), 50, torch.tensor([0.5], dtype=torch.float64))
    assert torch.allclose(torch.diff(ranks).double(), torch.tensor(rows / 50, dtype=torch.float64), atol=1.01)


@given(
    numbers=st.lists(st.floats(0, 1, width=32), min_size=1, max_size=30),
    number=st.floats(0, 1, exclude_max=True),
    draws=st.integers(1, 60),
    off=st.floats(-1e-6, 1e-6),
)
@example([1e-30] * 3 + [1.0] + [1e-30] * 3, 1 - 2**-53, 60, 0.0)
@example([1.0] + [0.0] * 5, 1 - 2**-53, 1, 1e-6)
@example([1e-45] * 4, 1 - 2**-53, 60, 0.0)
def test_rounding_never_leads_beyond_the_last_id_or_to_one_of_no_mass(numbers, number, draws, off):
    """The last point lies within rounding of the end of the cumulative sum; one step further is no id at all."""
    p = torch.tensor([numbers])
    p = p / p.sum().clamp_min(1.0)
    mass = (p.sum(-1) + off).clamp(0, 1)
    ranks, sizes = draw_tail(p, mass, draws, torch.tensor([number], dtype=torch.float64))
    assert len(ranks) == int(sizes.sum())
    assert all(0 <= rank < len(numbers) for rank in ranks.tolist())
    assert (p[0, ranks] > 0).all()
