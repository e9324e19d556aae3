"""A filter is defined up to an invertible map. The gauge takes one of them, and nothing changes that the model reads."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from miniend.signals.filters.filter import Filter, principal_filter
from miniend.signals.matching.target_statistics import Target, TargetStatistics
from miniend.signals.sites import Site

SITE = Site("encoder.hidden", 1)
shapes = st.tuples(st.integers(1, 6), st.integers(6, 12), st.integers(0, 1000))


def drawn(width, outer, seed):
    chance = torch.Generator().manual_seed(seed)
    shape = {"weight": (width, outer), "bias": (width,), "back": (outer, width), "offset": (outer,)}
    return Filter(site=SITE, **{name: torch.randn(one, generator=chance) for name, one in shape.items()})


def states_of(outer, seed, count=40):
    return 3 * torch.randn(count, outer, generator=torch.Generator().manual_seed(seed + 1))


@given(shapes)
@settings(max_examples=60, deadline=None)
def test_the_gauge_keeps_the_states_and_makes_an_error_of_z_the_error_of_the_state(drawing):
    """Without it a student's error in z would say nothing about what the frozen model reads."""
    width, outer, seed = drawing
    one = drawn(width, outer, seed)
    fixed, states = one.gauged(), states_of(outer, seed)
    before, after = one.state(one.of(states)), fixed.state(fixed.of(states))
    assert torch.allclose(before, after, atol=1e-3 * float(before.abs().max()))
    assert torch.allclose(fixed.back.T @ fixed.back, torch.eye(width), atol=1e-5)
    z = fixed.of(states)
    errors = (z[1:] - z[:-1]).norm(dim=1), (fixed.state(z[1:]) - fixed.state(z[:-1])).norm(dim=1)
    assert torch.allclose(*errors, rtol=1e-4, atol=1e-5)


@given(shapes)
@settings(max_examples=60, deadline=None)
def test_filters_that_differ_by_an_invertible_map_are_one_filter_after_the_gauge_but_for_a_turn(drawing):
    """z -> G z changes no state that the model reads, so it must not change how far two students are apart either."""
    width, outer, seed = drawing
    one = drawn(width, outer, seed)
    g = torch.eye(width) * 3 + 0.3 * torch.randn(width, width, generator=torch.Generator().manual_seed(seed + 2))
    inverse = torch.linalg.inv(g)
    other = Filter(site=SITE, weight=g @ one.weight, bias=g @ one.bias, back=one.back @ inverse, offset=one.offset)
    states = states_of(outer, seed)
    ours, theirs = (each.gauged().of(states).double() for each in (one, other))
    products = ours @ ours.T, theirs @ theirs.T  # equal up to an orthogonal map
    assert torch.allclose(*products, rtol=1e-3, atol=1e-3 * float(products[0].abs().max()))


def test_the_first_filter_is_the_projection_of_the_normalised_states_on_their_strongest_directions():
    """By numpy's own eigenvectors; with all directions it gives back every state over its rms."""
    states = states_of(8, 5, count=200) * torch.linspace(0.2, 2, 8)
    statistics = TargetStatistics(Target(str(SITE), "hidden", "rms", directions=True), 8, torch.device("cpu"))
    statistics.add(states)
    normed = states / (states.square().mean(-1, keepdim=True) + 1e-6).sqrt()
    whole = principal_filter(SITE, statistics, 8)
    assert torch.allclose(whole.state(whole.of(states)), normed, atol=1e-5)
    half = principal_filter(SITE, statistics, 3)
    centred = (normed - normed.mean(0)).double()
    values, vectors = torch.linalg.eigh(centred.T @ centred)
    projector = vectors[:, values.argsort(descending=True)[:3]]
    expected = normed.mean(0) + (centred @ projector @ projector.T).float()
    assert torch.allclose(half.state(half.of(states)), expected, atol=1e-4)
