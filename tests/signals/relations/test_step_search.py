"""The search for a step: no relation exceeds the target at any number of heads, and the step is no smaller than it must be."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from miniend.errors import ConfigurationError
from miniend.signals.codes.site_fit import STEP_MARGIN, with_step
from miniend.signals.fidelity import SiteSample
from miniend.signals.relations.calibration import calibrate_site
from miniend.signals.relations.step_search import search_step
from support.attention import relations_at
from support.low_rank import SITES, TARGET, calibrated, kls, places_of, samples, worst_kl

WIDTHS = {16: (16, 8), 24: (24, 12, 8), 15: (5,), 64: (64, 32, 16, 8)}
"""Width of Q, K and V -> the numbers of relation heads of students."""


def fitted(site, step_samples, target=TARGET, change=lambda sample: sample, **made):
    basis = [change(sample) for sample in samples(site, 3, 1, **made)]
    heads = max(WIDTHS[made.get("inner", 16)])
    return calibrate_site(site, places_of(site), basis, step_samples, heads, "published", target, None, None)


@settings(max_examples=8, deadline=None)
@given(
    st.sampled_from(SITES), st.sampled_from(sorted(WIDTHS)), st.floats(-4, -2), st.floats(1, 4), st.integers(0, 10**6)
)
def test_no_relation_exceeds_the_target_at_any_number_of_heads_and_a_larger_step_would_miss_it(
    site, inner, exponent, scale, seed
):
    """A student with few heads would learn from a worse cache than the dump has promised, or the cache would be too large."""
    target, made = 10**exponent, {"inner": inner, "scale": scale}
    step_samples = samples(site, 2, seed, **made)
    codec = fitted(site, step_samples, target, **made)
    assert codec.all_heads == WIDTHS[inner]
    assert worst_kl(codec, step_samples) <= target
    [step] = {code.step for code in codec.codes.values()}
    assert worst_kl(with_step(codec, 1.1 * step), step_samples) > 0.95 * target / STEP_MARGIN


@pytest.mark.parametrize("site", SITES, ids=str)
def test_a_uniform_relation_does_not_make_room_for_the_others(site):
    """T5's QQ is uniform: a mean over QQ, KK and VV would let KK and VV exceed the target by half."""

    def with_still_queries(sample):
        return SiteSample({**sample.tensors, "query": 1e-3 * sample.tensors["query"]}, sample.valid, sample.tokens)

    step_samples = [with_still_queries(sample) for sample in samples(site, 3, 2)]
    codec = fitted(site, step_samples, change=with_still_queries)
    found = {pair: part.mean for pair, part in kls(codec, step_samples).items()}
    assert codec.relative_entropy["query"] > 0.999
    assert 0.8 * TARGET < max(found.values()) <= TARGET
    for heads in codec.all_heads:
        assert sum(found[kind, heads] for kind in ("query", "key", "value")) / 3 < 0.7 * TARGET


def test_a_one_hot_relation_is_kept_to_the_target_too():
    """A row whose one key flips costs a student many nats, so the search must see it."""
    site = SITES[0]

    def sharp(sample):
        return SiteSample({**sample.tensors, "query": 10 * sample.tensors["query"]}, sample.valid, sample.tokens)

    step_samples = [sharp(sample) for sample in samples(site, 3, 2)]
    codec = fitted(site, step_samples, change=sharp)
    found = {pair: part.mean for pair, part in kls(codec, step_samples).items()}
    assert codec.relative_entropy["query"] < 0.05
    assert max(found, key=found.__getitem__)[0] == "query"
    assert max(found.values()) <= TARGET


def test_more_heads_can_be_worse_than_the_fewest():
    """The search starts from the fewest heads; if it stopped there, students with more heads would see too much."""
    site, inner = SITES[1], 64
    generator = torch.Generator().manual_seed(0)

    def opposed(sample):
        """Neighbouring groups of eight columns are opposed in sign, so that their errors cancel where few heads add them up."""
        sign = torch.where(torch.arange(inner) // 8 % 2 == 0, 1.0, -1.0)
        noise = torch.randn(*sample.tensors["key"].shape[:2], 1, generator=generator)
        return SiteSample({**sample.tensors, "key": sample.tensors["key"] + noise * sign}, sample.valid, sample.tokens)

    step_samples = [opposed(sample) for sample in samples(site, 3, 2, inner=inner)]
    codec = fitted(site, step_samples, change=opposed, inner=inner)
    found = {pair: part.mean for pair, part in kls(codec, step_samples).items()}
    assert max(found, key=found.__getitem__)[1] > min(codec.all_heads)
    assert max(found.values()) <= TARGET


def test_the_search_ends_where_no_step_is_too_large():
    """A uniform relation meets any target at any step: the search must not run for ever, nor give infinity."""
    site = SITES[0]
    codec = calibrated(site, step=0.1)
    still = [SiteSample({kind: 1e-6 * t for kind, t in s.tensors.items()}, s.valid, s.tokens) for s in samples(site, 2)]
    zero = codec.replaced(
        {
            n: replace(c, mean=torch.zeros_like(c.mean), token_means=torch.zeros_like(c.token_means))
            for n, c in codec.codes.items()
        }
    )
    step = search_step(zero, still, TARGET)
    assert math.isfinite(step)
    assert step > 0


def test_a_rank_that_cannot_reach_the_target_is_refused_with_what_to_do():
    """The message names the site, the target and the two options."""
    codec = calibrated(SITES[0], step=0.1, rank=1)
    with pytest.raises(
        ConfigurationError, match=r"encoder\.self@1: no step reaches .*raise --relation-kl or --relation-rank"
    ):
        search_step(codec, samples(SITES[0], 2), 1e-7)


def test_the_relations_of_a_site_are_all_searched():
    """QK of cross-attention too."""
    assert {kind for kind, _ in kls(calibrated(SITES[2]), samples(SITES[2], 1))} == {
        relation.kind for relation in relations_at(SITES[2])
    }
