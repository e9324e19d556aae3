"""Kinds of signals: which sites there are, how their names resolve, and on which tokens their tensors lie."""

import pytest

from miniend.errors import ConfigurationError
from miniend.models.layer_maps import layer_pairs
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
        ("decoder.hidden@all", ["decoder.hidden@0", "decoder.hidden@1", "decoder.hidden@2"]),
        ("encoder.hidden@last:2", ["encoder.hidden@4", "encoder.hidden@5"]),
        ("decoder.cross@last:2", ["decoder.cross@1", "decoder.cross@2"]),
        ("encoder.self@uniform:3", ["encoder.self@1", "encoder.self@3", "encoder.self@5"]),
        ("encoder.self@uniform:4", ["encoder.self@1", "encoder.self@2", "encoder.self@4", "encoder.self@5"]),
        ("encoder.self@0-1,4,decoder.self", ["encoder.self@0", "encoder.self@1", "encoder.self@4", "decoder.self@2"]),
        (
            "encoder.self@-2--1, 0 ,decoder.self@1",
            ["encoder.self@0", "encoder.self@4", "encoder.self@5", "decoder.self@1"],
        ),
        ("encoder.self@0,uniform:2,-1,last:1", ["encoder.self@0", "encoder.self@2", "encoder.self@5"]),
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
        ("encoder.self@x", "site 'encoder.self@x': expected a layer such as 11 or -1, .* found 'x'"),
        ("encoder.self@", "site 'encoder.self@': expected a layer .* found ''"),
        ("encoder.self@1-9", "site 'encoder.self@1-9': this model has 6 layers there, so 0 to 5"),
        ("encoder.self@4-1", "the range 4-1 ends before it begins"),
        ("encoder.self@-1-2", "the range -1-2 ends before it begins"),
        ("encoder.self@uniform:7", "so uniform:1 to uniform:6, not uniform:7"),
        ("decoder.self@0,last:0", "site 'decoder.self@0,last:0': .* so last:1 to last:3, not last:0"),
        ("decoder.self@uniform:", "found 'uniform:'"),
        ("encoder.self,2", "'2' in 'encoder.self,2' is a layer without a site; write SITE@LAYERS"),
        ("2,encoder.self", "is a layer without a site"),
        ("encoder.self@1,x", "unknown site 'x'"),
        ("decoder.hidden@3", "has 3 layers there"),
        ("hidden", "unknown site 'hidden'"),
    ],
)
def test_a_site_that_is_not_there_is_refused_with_what_is(text, named):
    """A layer that wraps round would silently be another one."""
    with pytest.raises(ConfigurationError, match=named):
        parse_sites(text, DEPTHS)


def test_a_list_of_layers_does_not_go_on_in_another_value():
    """`--signal encoder.hidden@1-2 --signal 4` is a slip, and layer 4 of which site would be a guess."""
    assert len(parse_sites(["encoder.hidden@1-2,4", "decoder.hidden"], DEPTHS)) == 4
    with pytest.raises(ConfigurationError, match="'4' in '4' is a layer without a site"):
        parse_sites(["encoder.hidden@1-2", "4"], DEPTHS)


def test_uniform_is_the_layer_map_of_the_students():
    """A student of six layers is matched to `uniform`; a cache of other layers would be of no use to it."""
    for depth in range(1, 25):
        for count in range(1, depth + 1):
            wanted = [Site("encoder.hidden", layer) for _, layer in layer_pairs("uniform", count, depth)]
            assert [*parse_sites(f"encoder.hidden@uniform:{count}", {"encoder": depth})] == wanted


def test_axes_are_those_of_the_tokens():
    """K and V of cross-attention lie on the encoder's tokens."""
    assert {name: axes_at(Site(name, 0)) for name in site_names()} == {
        "encoder.self": {"query": "input", "key": "input", "value": "input"},
        "decoder.self": {"query": "target", "key": "target", "value": "target"},
        "decoder.cross": {"query": "target", "key": "input", "value": "input"},
        "encoder.hidden": {"hidden": "input"},
        "decoder.hidden": {"hidden": "target"},
        "encoder.final": {"hidden": "input"},
    }
