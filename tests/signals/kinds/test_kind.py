"""Kinds of signals: which sites there are, how their names resolve, and on which tokens their tensors lie."""

import pytest

from miniend.errors import ConfigurationError
from miniend.signals.kinds import parse_sites, site_names
from miniend.signals.sites import Site
from support.attention import axes_at

DEPTHS = {"encoder": 6, "decoder": 3}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("encoder.self", ["encoder.self@5"]),
        ("decoder.cross,encoder.self,decoder.self", ["encoder.self@5", "decoder.self@2", "decoder.cross@2"]),
        ("encoder.self@-1,encoder.self@5,encoder.self", ["encoder.self@5"]),
        (" decoder.self@0 , decoder.self@-1,", ["decoder.self@0", "decoder.self@2"]),
        ("encoder.self@-6", ["encoder.self@0"]),
        ("decoder.hidden@-2,encoder.hidden,decoder.cross", ["decoder.cross@2", "encoder.hidden@5", "decoder.hidden@1"]),
        ("", []),
    ],
)
def test_names_resolve_to_sorted_layers_without_repeats(text, found):
    """Two spellings of one site in a plan would be dumped twice, or be taken for another plan."""
    assert [str(site) for site in parse_sites(text, DEPTHS)] == found


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("encoder", "unknown site 'encoder'"),
        ("encoder.cross", "expected one of encoder.self, decoder.self, decoder.cross"),
        ("encoder.self@6", "has 6 layers there, so 0 to 5 or -6 to -1"),
        ("decoder.self@3", "has 3 layers there"),
        ("decoder.cross@-4", "has 3 layers there"),
        ("encoder.self@x", "whole number"),
        ("decoder.hidden@3", "has 3 layers there"),
        ("hidden", "unknown site 'hidden'"),
    ],
)
def test_a_site_that_is_not_there_is_refused_with_what_is(text, named):
    """A layer that wraps round would silently be another one."""
    with pytest.raises(ConfigurationError, match=named):
        parse_sites(text, DEPTHS)


def test_axes_are_those_of_the_tokens():
    """K and V of cross-attention lie on the encoder's tokens."""
    assert {name: axes_at(Site(name, 0)) for name in site_names()} == {
        "encoder.self": {"query": "input", "key": "input", "value": "input"},
        "decoder.self": {"query": "target", "key": "target", "value": "target"},
        "decoder.cross": {"query": "target", "key": "input", "value": "input"},
        "encoder.hidden": {"hidden": "input"},
        "decoder.hidden": {"hidden": "target"},
    }
