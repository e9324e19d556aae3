"""Terms are built of what a cache holds: those of every objective that needs no more, each saying how it is computed."""

import pytest

from support.setups import OBJECTIVES, terms_of


def test_what_a_cache_has_is_enough_for_the_objectives_that_need_no_more(poor_caches):
    """A refusal too many costs a second dump."""
    for name in ("scratch", "minilm"):
        assert terms_of(poor_caches["no-logits"], name)
    for name in ("miniend-d", "miniend-e"):
        assert terms_of(poor_caches["no-logits"], name, logits=False)
    for name in ("scratch", "logits", "minilm", "implicit"):
        assert terms_of(poor_caches["few"], name)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_each_term_says_how_it_is_computed_and_against_what(ragged, name):
    """Two terms of one phrase cannot be told apart in a card; one that names another site names another method."""
    objective, logits, cross_relation = OBJECTIVES[name]
    terms = terms_of(ragged, objective, logits=logits, cross_relation=cross_relation)
    formulas = [term.formula() for term in terms.values()]
    assert all(formulas)
    assert len(set(formulas)) == len(formulas)
    sites = {"decoder_self": "decoder.self@1", "encoder_self": "encoder.self@1", "cross": "decoder.cross@1"}
    assert {name: term.against() for name, term in terms.items()} == {name: sites.get(name, "") for name in terms}
