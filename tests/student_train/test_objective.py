"""Objectives by name: their terms and weights, and what is refused before anything is trained."""

import pytest

from miniend.errors import ConfigurationError
from miniend.student_train.objective import OBJECTIVES, build_objective, spec
from miniend.student_train.terms import trains_head

TABLE = {
    "scratch": {"labels"},
    "logits": {"logits"},
    "minilm": {"decoder_self"},
    "implicit": {"logits", "decoder_self"},
    "miniend-d": {"logits", "decoder_self", "cross"},
    "miniend-e": {"logits", "decoder_self", "encoder_self"},
    "hidden": {"encoder_hidden", "decoder_hidden"},
    "direct": {"encoder_direct", "decoder_direct"},
    "kd": {"labels", "logits"},
    "lwd": {"labels", "logits", "encoder_hidden", "decoder_hidden"},
    "ted": {"labels", "logits", "encoder_filtered", "decoder_filtered"},
    "encoder": {"final"},
}
"""Terms by objective; all weights are one."""
SITES = {
    "decoder_self": "decoder.self",
    "encoder_self": "encoder.self",
    "cross": "decoder.cross",
    "encoder_hidden": "encoder.hidden",
    "decoder_hidden": "decoder.hidden",
    "final": "encoder.final",
    "encoder_filtered": "encoder.hidden",
    "decoder_filtered": "decoder.hidden",
    "encoder_direct": "encoder.self",
    "decoder_direct": "decoder.self",
}


@pytest.mark.parametrize("name", TABLE)
def test_an_objective_sums_the_terms_of_its_row_with_weight_one(name):
    """A term too many is another method under the same name."""
    objective = build_objective(name, True, ())
    assert dict(objective.weights) == dict.fromkeys(TABLE[name], 1.0)
    sites = {term.name: term.options["site"] for term in objective.terms if "site" in term.options}
    assert sites == {term: SITES[term] for term in TABLE[name] & set(SITES)}
    assert trains_head(objective) == bool(TABLE[name] & {"labels", "logits"})
    assert set(OBJECTIVES) == set(TABLE)


@pytest.mark.parametrize("name", ["miniend-d", "miniend-e"])
def test_the_variants_without_logits_lose_that_term_alone(name):
    """`w/o L^Logit` of the paper's table."""
    objective = build_objective(name, False, ())
    assert set(objective.weights) == TABLE[name] - {"logits"}
    assert not trains_head(objective)


@pytest.mark.parametrize("name", ["scratch", "logits", "minilm", "implicit"])
def test_no_logits_is_refused_where_it_means_nothing(name):
    """Silently ignored, it would put the wrong name on a run; obeyed, it could leave no term at all."""
    with pytest.raises(ConfigurationError, match=f"--no-logits goes with miniend-d and miniend-e; objective {name}"):
        build_objective(name, False, ())


@pytest.mark.parametrize("name", ["hidden", "direct"])
def test_labels_and_logits_join_the_states_if_they_have_a_weight(name):
    """The methods are published without them; states alone leave the head untrained."""
    alone = build_objective(name, True, ())
    assert not trains_head(alone)
    both = build_objective(name, True, ("logits=1", "labels=0.5"))
    assert trains_head(both)
    assert dict(both.weights) == {"labels": 0.5, "logits": 1.0, **alone.weights}
    assert [term.name for term in both.terms][:2] == ["labels", "logits"]
    with pytest.raises(ConfigurationError, match=f"TERM one of labels, logits, encoder_{name}, decoder_{name}"):
        build_objective(name, True, ("cross=1",))


@pytest.mark.parametrize("name", ["hidden", "direct", "lwd"])
def test_one_stack_can_be_compared_alone(name):
    """A term of the other stack would need signals that the cache may lack."""
    for stack in ("encoder", "decoder"):
        terms = {term.name for term in build_objective(name, True, (), stacks=stack).terms}
        assert terms == {term for term in TABLE[name] if term in ("labels", "logits") or term.startswith(stack)}
    assert (
        build_objective("miniend-e", True, (), stacks="decoder").terms == build_objective("miniend-e", True, ()).terms
    )


def test_unknown_names_are_refused_with_those_that_exist():
    """The list saves a look at the manual."""
    with pytest.raises(
        ConfigurationError, match=r"unknown objective 'minilm2'; expected one of scratch, logits, minilm"
    ):
        build_objective("minilm2", True, ())


def test_weights_are_read_term_by_term():
    """The last one wins, the others stay one."""
    objective = build_objective("miniend-d", True, ("cross=0.5", "logits=2", "cross=1e-1"))
    assert dict(objective.weights) == {"logits": 2.0, "decoder_self": 1.0, "cross": 0.1}


@pytest.mark.parametrize(
    "weight",
    ["cross", "cross=", "cross=a", "cross=0", "cross=-1", "cross=nan", "encoder_self=1", "=1", "", "cross=inf"],
)
def test_a_weight_that_cannot_be_used_is_refused_with_the_terms(weight):
    """A weight for a term that the objective lacks would be dropped, and one of nan would train nothing."""
    with pytest.raises(ConfigurationError, match=r"--weight .*TERM one of logits, decoder_self, cross"):
        build_objective("miniend-d", True, (weight,))


def test_a_weight_of_the_dropped_logit_term_is_refused():
    """It says that the user expects the term to be there."""
    with pytest.raises(ConfigurationError, match="TERM one of decoder_self, encoder_self"):
        build_objective("miniend-e", False, ("logits=1",))


def test_a_temperature_without_a_logit_term_is_refused():
    """Relations have temperatures of their own; a user who sets this one means the logits."""
    with pytest.raises(ConfigurationError, match="--temperature belongs to the logit term, which objective minilm"):
        build_objective("minilm", True, (), 2.0)
    with pytest.raises(ConfigurationError, match="objective miniend-e does not have here"):
        build_objective("miniend-e", False, (), 2.0)


@pytest.mark.parametrize(
    ("specs", "named"),
    [
        ((spec("labels"), spec("relations", "labels")), "found labels, labels"),
        ((spec("relations", "mine"), spec("labels", "mine")), "not used twice"),
        ((spec("relations", "loss"),), "not one of loss"),
        ((spec("relations", "logits"),), "give the term another name"),
        ((spec("relations", "a.b"),), "in lower case"),
        ((spec("relations", "keys"),), "give the term another name"),
    ],
)
def test_an_objective_that_a_plugin_got_wrong_is_one_clear_line(monkeypatch, specs, named):
    """A term under another one's name trains nothing, or writes its loss over the metric that the best student is chosen by."""
    monkeypatch.setattr(OBJECTIVES, "_entries", {"mine": specs})
    with pytest.raises(ConfigurationError, match=named):
        build_objective("mine", True, ())
