"""Objectives by name: their terms and weights, and what is refused before anything is trained."""

import pytest

import miniend
from miniend.errors import CacheMismatchError, ConfigurationError
from miniend.signals.sites import Site
from miniend.student_train.objective import OBJECTIVES, SITES, build_objective, required_codecs
from support.tiny_cache import build_tiny_cache

TABLE = {
    "scratch": {"labels"},
    "logits": {"logits"},
    "minilm": {"decoder_self"},
    "implicit": {"logits", "decoder_self"},
    "miniend-d": {"logits", "decoder_self", "cross"},
    "miniend-e": {"logits", "decoder_self", "encoder_self"},
}
"""METHODS.md 3.5; all weights are one."""


@pytest.fixture(scope="module")
def poor_caches(tmp_path_factory):
    """One cache without logits, and one whose only relations are those of two decoder layers."""
    folder = tmp_path_factory.mktemp("poor")
    build_tiny_cache(folder, cache=folder / "no-logits", logits="none", validation_examples=0)
    few = {"signals": "decoder.self@0,decoder.self@1", "validation_examples": 0}
    build_tiny_cache(folder, teacher=folder / "teacher", cache=folder / "few", **few)
    return {name: miniend.open_cache(folder / name) for name in ("no-logits", "few")}


@pytest.mark.parametrize("name", TABLE)
def test_an_objective_sums_the_terms_of_its_row_with_weight_one(name):
    """A term too many is another method under the same name."""
    objective = build_objective(name, True, "qk", ())
    assert dict(objective.weights) == dict.fromkeys(TABLE[name], 1.0)
    assert set(objective.sites) == TABLE[name] & set(SITES)
    assert objective.needs_head == bool(TABLE[name] & {"labels", "logits"})
    assert set(OBJECTIVES) == set(TABLE)


@pytest.mark.parametrize("name", ["miniend-d", "miniend-e"])
def test_the_variants_without_logits_lose_that_term_alone(name):
    """`w/o L^Logit` of the paper's table."""
    objective = build_objective(name, False, "qk", ())
    assert set(objective.weights) == TABLE[name] - {"logits"}
    assert not objective.needs_head


@pytest.mark.parametrize("name", ["scratch", "logits", "minilm", "implicit"])
def test_no_logits_is_refused_where_it_means_nothing(name):
    """Silently ignored, it would put the wrong name on a run; obeyed, it could leave no term at all."""
    with pytest.raises(ConfigurationError, match=f"--no-logits goes with miniend-d and miniend-e; objective {name}"):
        build_objective(name, False, "qk", ())


def test_unknown_names_are_refused_with_those_that_exist():
    """The list saves a look at the manual."""
    with pytest.raises(
        ConfigurationError, match=r"unknown objective 'minilm2'; expected one of scratch, logits, minilm"
    ):
        build_objective("minilm2", True, "qk", ())
    with pytest.raises(ConfigurationError, match="unknown cross relation 'qv'; expected qk or qq_kk_vv"):
        build_objective("miniend-d", True, "qv", ())


def test_weights_are_read_term_by_term():
    """The last one wins, the others stay one."""
    objective = build_objective("miniend-d", True, "qk", ("cross=0.5", "logits=2", "cross=1e-1"))
    assert dict(objective.weights) == {"logits": 2.0, "decoder_self": 1.0, "cross": 0.1}


@pytest.mark.parametrize(
    "weight",
    ["cross", "cross=", "cross=a", "cross=0", "cross=-1", "cross=nan", "encoder_self=1", "=1", "", "cross=inf"],
)
def test_a_weight_that_cannot_be_used_is_refused_with_the_terms(weight):
    """A weight for a term that the objective lacks would be dropped, and one of nan would train nothing."""
    with pytest.raises(ConfigurationError, match=r"--weight .*TERM one of logits, decoder_self, cross"):
        build_objective("miniend-d", True, "qk", (weight,))


def test_a_weight_of_the_dropped_logit_term_is_refused():
    """It says that the user expects the term to be there."""
    with pytest.raises(ConfigurationError, match="TERM one of decoder_self, encoder_self"):
        build_objective("miniend-e", False, "qk", ("logits=1",))


def test_the_readings_of_the_cross_term():
    """Reading A has one relation, reading B three; a self-attention always has three."""
    cross, own = Site("decoder.cross", 1), Site("decoder.self", 1)
    kinds = {}
    for reading in ("qk", "qq_kk_vv"):
        objective = build_objective("miniend-d", True, reading, ())
        kinds[reading] = [(r.kind, r.causal) for r in objective.relations("cross", cross)]
        assert [(r.kind, r.causal) for r in objective.relations("decoder_self", own)] == [
            ("query", True),
            ("key", True),
            ("value", True),
        ]
        assert objective.reading("cross") != objective.reading("decoder_self")
        assert "our reading" in objective.reading("cross")
    assert kinds == {"qk": [("query_key", False)], "qq_kk_vv": [("query", True), ("key", False), ("value", False)]}


@pytest.mark.parametrize("name", ["logits", "implicit", "miniend-d", "miniend-e"])
def test_a_cache_without_logits_refuses_what_needs_them(poor_caches, name):
    """Without this the failure is an assertion in the middle of the first step."""
    with pytest.raises(
        CacheMismatchError, match=f"objective {name} needs logits, which .*no-logits was dumped without"
    ):
        required_codecs(build_objective(name, True, "qk", ()), poor_caches["no-logits"])


def test_a_temperature_that_the_cache_lacks_is_refused_with_those_it_has(poor_caches):
    """The log-probabilities at 1 are there, but not the normaliser at another temperature."""
    with pytest.raises(CacheMismatchError, match=r"--temperature 2: .*few has logits at temperature 1; dump with"):
        required_codecs(build_objective("logits", True, "qk", (), 2.0), poor_caches["few"])


def test_a_temperature_without_a_logit_term_is_refused():
    """Relations have temperatures of their own; a user who sets this one means the logits."""
    with pytest.raises(ConfigurationError, match="--temperature is that of the logit term, which objective minilm"):
        build_objective("minilm", True, "qk", (), 2.0)
    with pytest.raises(ConfigurationError, match="objective miniend-e is without here"):
        build_objective("miniend-e", False, "qk", (), 2.0)


@pytest.mark.parametrize("name", ["miniend-d", "miniend-e"])
def test_a_missing_site_is_named_beside_what_the_cache_holds(poor_caches, name):
    """The user has to know what to dump again."""
    site = {"miniend-d": "decoder.cross", "miniend-e": "encoder.self"}[name]
    with pytest.raises(CacheMismatchError, match=f"needs {site}, but .*few holds decoder.self@0, decoder.self@1"):
        required_codecs(build_objective(name, False, "qk", ()), poor_caches["few"])


def test_what_a_cache_has_is_enough_for_the_objectives_that_need_no_more(poor_caches):
    """A refusal too many costs a second dump."""
    for name in ("scratch", "minilm"):
        required_codecs(build_objective(name, True, "qk", ()), poor_caches["no-logits"])
    for name in ("miniend-d", "miniend-e"):
        required_codecs(build_objective(name, False, "qk", ()), poor_caches["no-logits"])
    for name in ("scratch", "logits", "minilm", "implicit"):
        required_codecs(build_objective(name, True, "qk", ()), poor_caches["few"])


def test_the_deepest_stored_layer_is_the_one_that_teaches(poor_caches):
    """The methods distil the last layer; the order in which layers were dumped means nothing."""
    found = required_codecs(build_objective("minilm", True, "qk", ()), poor_caches["few"])
    assert [str(codec.site) for codec in found.values()] == ["decoder.self@1"]
