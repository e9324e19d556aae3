"""The quadratic form of relation KL: what it predicts is what noise costs."""

import pytest
import torch

from miniend.signals.fidelity import SiteSample
from miniend.signals.kinds import KINDS
from miniend.signals.relations.fidelity import relation_kl
from miniend.signals.relations.sensitivity import FLOOR, sensitivity
from miniend.signals.sites import Site
from support.attention import axes_at, relations_at

SITES = [Site("encoder.self", 0), Site("decoder.self", 0), Site("decoder.cross", 0)]
TENSORS = KINDS["self"].tensors
HEADS, INNER = 2, 6
ALPHA = {"query": 1.0, "key": 1.5, "value": 0.5, "query_key": 1.2}


def example(seed=0, scale=1.0):
    generator = torch.Generator().manual_seed(seed)
    lengths = {"input": 40, "target": 30}

    def make(site):
        tensors = {
            kind: scale * torch.randn(1, lengths[axis], INNER, generator=generator)
            for kind, axis in axes_at(site).items()
        }
        valid = {a: torch.arange(n)[None] < n - 5 for a, n in lengths.items()}
        return SiteSample(tensors, valid, {a: torch.zeros(1, n, dtype=torch.int64) for a, n in lengths.items()})

    return make


def cost(site, sample, kind, direction, size=0.02, draws=40, heads=HEADS):
    """Mean over draws of the KL per squared size of noise along one direction of a block, per token of its axis."""
    generator = torch.Generator().manual_seed(1)
    total = 0.0
    for _ in range(draws):
        tensor = sample.tensors[kind]
        noise = size * torch.randn(*tensor.shape[:2], 1, generator=generator) * direction
        found = relation_kl(relations_at(site), sample, {**sample.tensors, kind: tensor + noise}, heads, ALPHA)
        total += sum(part.mean for part in found.values())
    return total / draws / size**2 / int(sample.valid[axes_at(site)[kind]].sum())


@pytest.mark.parametrize("site", SITES, ids=str)
def test_noise_costs_what_the_form_says_in_every_block_and_direction(site):
    """Up to one common factor: a block, an axis or a relation that is weighed wrongly pays bits for nothing."""
    sample = example()(site)
    form = sensitivity(relations_at(site), [sample], [HEADS], ALPHA)
    ratios = []
    for kind in TENSORS:
        for place in (0, 4):
            direction = torch.zeros(INNER)
            direction[place] = 1.0
            head, within = divmod(place, INNER // HEADS)
            ratios.append(cost(site, sample, kind, direction) / (float(form[kind][head, within, within]) - FLOOR))
    assert max(ratios) / min(ratios) < 1.35, ratios


@pytest.mark.parametrize("site", SITES, ids=str)
def test_padding_is_no_part_of_it_and_it_repeats_to_the_bit(site):
    """Forms that depend on what fills the padding would make the bytes depend on the batch."""
    clean, spoiled = example()(site), example()(site)
    for kind, tensor in spoiled.tensors.items():
        tensor[~spoiled.valid[axes_at(site)[kind]]] = 30.0
    relations = relations_at(site)
    one, two, again = (sensitivity(relations, [given], [HEADS], ALPHA) for given in (clean, spoiled, example()(site)))
    for kind in TENSORS:
        assert torch.allclose(one[kind], two[kind], rtol=1e-5, atol=1e-9)
        assert torch.equal(one[kind], again[kind])


def test_a_block_that_costs_nothing_keeps_a_floor_and_nothing_at_all_is_even():
    """A form of zero cannot be inverted, and a division by it would give a basis of NaN."""
    sample = example()(SITES[0])
    sample.tensors["value"].mul_(1e-4)
    relations = relations_at(SITES[0])
    form = sensitivity(relations, [sample], [HEADS], ALPHA)
    assert torch.allclose(form["value"], FLOOR * torch.eye(3, dtype=torch.float64), rtol=0.01)
    assert max(float(part.diagonal(dim1=1, dim2=2).max()) for part in form.values()) == pytest.approx(1 + FLOOR)
    nothing = sensitivity(relations, [example(scale=0.0)(SITES[0])], [HEADS], ALPHA)
    assert all(torch.equal(part, torch.eye(3, dtype=torch.float64).expand(2, 3, 3)) for part in nothing.values())


def test_a_form_for_two_numbers_of_heads_is_the_mean_of_both():
    """Forms of more heads stand along the diagonal of those of fewer; a direction put elsewhere would get the wrong step."""
    sample = example()(SITES[1])
    relations = relations_at(SITES[1])
    both = sensitivity(relations, [sample], [6, 2], ALPHA)
    assert {form.shape for form in both.values()} == {(2, 3, 3)}
    ratios = []
    for kind in TENSORS:
        for place in (0, 4, 5):
            direction = torch.zeros(INNER)
            direction[place] = 1.0
            costs = [cost(SITES[1], sample, kind, direction, heads=heads) for heads in (6, 2)]
            head, within = divmod(place, 3)
            ratios.append(sum(costs) / (float(both[kind][head, within, within]) - FLOOR))
    assert max(ratios) / min(ratios) < 1.35, ratios


@pytest.mark.parametrize("site", SITES, ids=str)
def test_some_evenly_spaced_rows_give_nearly_the_form_of_all(site):
    """Calibration takes some rows to save time; their number must not change what a row or a key weighs."""
    given = [example(seed)(site) for seed in range(6)]
    relations = relations_at(site)
    every, some = (sensitivity(relations, given, [HEADS], ALPHA, rows) for rows in (None, 10))
    for kind in TENSORS:
        diagonals = [form[kind].diagonal(dim1=1, dim2=2) for form in (every, some)]
        assert torch.allclose(*diagonals, rtol=0.35)
        assert float(diagonals[1].mean() / diagonals[0].mean()) == pytest.approx(1, abs=0.15)
