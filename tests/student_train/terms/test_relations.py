"""Relation terms: which relations of which layers they compare, and what they ask of a cache."""

import pytest

from miniend.errors import CacheMismatchError, ConfigurationError
from support.setups import terms_of


def test_the_readings_of_the_cross_term(poor_caches):
    """Reading A has one relation, reading B three; a self-attention always has three."""
    kinds = {}
    for reading in ("qk", "qq_kk_vv"):
        terms = terms_of(poor_caches["no-logits"], "miniend-d", logits=False, cross_relation=reading)
        kinds[reading] = [(r.kind, r.causal) for r in terms["cross"].relations]
        assert [(r.kind, r.causal) for r in terms["decoder_self"].relations] == [
            ("query", True),
            ("key", True),
            ("value", True),
        ]
        assert terms["cross"].formula() != terms["decoder_self"].formula()
        assert "our reading of the paper" in terms["cross"].formula()
    assert kinds == {"qk": [("query_key", False)], "qq_kk_vv": [("query", True), ("key", False), ("value", False)]}


def test_a_third_reading_is_refused_with_those_that_exist(poor_caches):
    """Taken for one of the two, it would put a name on a run that says nothing."""
    with pytest.raises(ConfigurationError, match=r"'qv'.* qk, qq_kk_vv"):
        terms_of(poor_caches["no-logits"], "miniend-d", logits=False, cross_relation="qv")


@pytest.mark.parametrize("name", ["miniend-d", "miniend-e"])
def test_a_missing_site_is_named_beside_what_the_cache_holds(poor_caches, name):
    """The user has to know what to dump again."""
    site = {"miniend-d": "decoder.cross", "miniend-e": "encoder.self"}[name]
    with pytest.raises(CacheMismatchError, match=f"needs {site}, but .*few holds decoder.self@0, decoder.self@1"):
        terms_of(poor_caches["few"], name, logits=False)


def test_the_deepest_stored_layer_is_the_one_that_teaches(poor_caches):
    """The methods distil the last layer; the order in which layers were dumped means nothing."""
    terms = terms_of(poor_caches["few"], "minilm")
    assert [str(term.codec.site) for term in terms.values()] == ["decoder.self@1"]
