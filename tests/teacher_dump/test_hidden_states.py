"""Cached hidden states are the teacher's own, within the target, whatever the batch, and come with or without other signals."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import T5ForConditionalGeneration, UMT5ForConditionalGeneration

import miniend
from miniend.errors import CacheMismatchError, ConfigurationError
from miniend.recipes.inspect.inspection import describe, inspect_cache
from miniend.recipes.repair.verify import verify_cache
from miniend.signals.kinds import KINDS
from miniend.storage.folder import PublishedFolder
from support.damage import files_of
from support.setups import terms_of
from support.tiny_cache import PAIRS, build_tiny_cache

SITES = ("encoder.hidden@0", "encoder.hidden@1", "decoder.hidden@1")
ALONE = {"signals": ",".join(SITES), "logits": "none"}
CLASSES = {"t5": T5ForConditionalGeneration, "umt5": UMT5ForConditionalGeneration}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Hidden states alone, of ragged pairs, at the default target."""
    folder = tmp_path_factory.mktemp("hidden")
    build_tiny_cache(folder, **PAIRS, **ALONE)
    return folder


@pytest.fixture(scope="module")
def beside(home, tmp_path_factory):
    """Of the same teacher, with relations and logits, in other batches."""
    folder = tmp_path_factory.mktemp("beside")
    signals = "encoder.self,decoder.hidden,encoder.hidden@0"
    return build_tiny_cache(folder, **PAIRS, teacher=home / "teacher", signals=signals, batch_size=3)


def states_of(model, example):
    """By site, from transformers, the example run alone; the last layer's as its input to the final norm."""
    kept = {}
    stacks = {"encoder": model.encoder, "decoder": model.decoder}
    hooks = [
        stack.final_layer_norm.register_forward_pre_hook(lambda _m, given, name=name: kept.update({name: given[0]}))
        for name, stack in stacks.items()
    ]
    with torch.no_grad():
        ids, labels = (torch.from_numpy(part).long()[None] for part in (example.input_ids, example.labels))
        out = model(input_ids=ids, labels=labels, output_hidden_states=True)
    for hook in hooks:
        hook.remove()
    first = out.encoder_hidden_states[1]
    found = {SITES[0]: first, SITES[1]: kept["encoder"], SITES[2]: kept["decoder"]}
    return {site: states[0].numpy() for site, states in found.items()}


@pytest.mark.parametrize("kind", CLASSES)
def test_at_a_tiny_target_they_are_those_of_transformers(tmp_path, kind):
    """Of ragged examples, each of which transformers sees alone: neither padding nor the batch may be in them."""
    cache = miniend.open_cache(build_tiny_cache(tmp_path, **PAIRS, **ALONE, model_type=kind, hidden_error=1e-9))
    model = CLASSES[kind].from_pretrained(tmp_path / "teacher").eval()
    assert len({len(example.input_ids) for example in cache}) > 4
    for example in (*cache, *cache.validation):
        for site, states in states_of(model, example).items():
            assert example.hidden[site].dtype == np.float32
            np.testing.assert_allclose(example.hidden[site], states, rtol=0, atol=2e-4 * np.abs(states).max())


def test_they_are_within_the_target_on_examples_that_nothing_was_fitted_on(home):
    """Measured with our own eyes, and as the markers say."""
    cache = miniend.open_cache(home / "cache")
    model = T5ForConditionalGeneration.from_pretrained(home / "teacher").eval()
    error, energy = (dict.fromkeys(SITES, 0.0) for _ in range(2))
    for example in (*cache[20:], *cache.validation):
        for site, states in states_of(model, example).items():
            mean = cache.codecs[site].codes["hidden"].mean.numpy()
            error[site] += float(np.square(example.hidden[site] - states).sum())
            energy[site] += float(np.square(states - mean).sum())
    for site in SITES:
        assert 5e-4 < error[site] / energy[site] < 1.1e-3
    told = inspect_cache(home / "cache").fidelity.hidden_error
    assert set(told) == set(SITES)
    assert all(5e-4 < value < 1.1e-3 for value in told.values())


def test_batches_and_other_signals_do_not_change_them(home, beside):
    """The same teacher and examples: what differs is rounding of the last bit."""
    one, two = miniend.open_cache(home / "cache"), miniend.open_cache(beside)
    for ours, theirs in zip(one, two, strict=True):
        for site in two.codecs_of("hidden"):
            step = one.codecs[site].codes["hidden"].step
            assert np.abs(ours.hidden[site] - theirs.hidden[site]).mean() < 1e-3 * step


def test_a_resumed_dump_is_the_same_bytes(home, tmp_path):
    """Shards and calibration are functions of the plan."""
    before = files_of(home / "cache")
    cache = Path(shutil.copytree(home / "cache", tmp_path / "cache"))
    for lost in ("shards/train-000001", "shards/validation-000000", "calibration"):
        shutil.rmtree(cache / lost)
    build_tiny_cache(tmp_path / "again", **PAIRS, **ALONE, teacher=home / "teacher", cache=cache)
    assert files_of(cache) == before
    grown = build_tiny_cache(tmp_path / "more", **PAIRS, **ALONE, teacher=home / "teacher", cache=cache, examples=28)
    assert {name: files_of(grown)[name] for name in before} == before


def test_relations_and_hidden_states_are_kept_apart(home, beside):
    """A student that looks for relations must not meet a site that has none."""
    example, cache = miniend.open_cache(beside)[0], miniend.open_cache(beside)
    assert (list(example.relations), list(example.hidden)) == (
        ["encoder.self@1"],
        ["encoder.hidden@0", "decoder.hidden@1"],
    )
    assert np.array_equal(example.hidden["decoder.hidden"], example.hidden["decoder.hidden@1"])
    assert example.hidden["encoder.hidden"].shape == (len(example.input_ids), 32)
    assert example.hidden["decoder.hidden"].shape == (len(example.labels), 32)
    for mapping, missing in ((example.hidden, "encoder.self"), (example.relations, "encoder.hidden")):
        with pytest.raises(KeyError, match="no site"):
            mapping[missing]
    with pytest.raises(KeyError, match="no site"):
        example.hidden["encoder.hidden@1"]
    with pytest.raises(ConfigurationError, match="stored for several layers"):
        miniend.open_cache(home / "cache")[0].hidden["encoder.hidden"]
    assert list(cache.codecs_of("relations")) == ["encoder.self@1"]
    assert list(cache.codecs_of("hidden")) == ["encoder.hidden@0", "decoder.hidden@1"]
    assert list(cache.codecs) == [*cache.codecs_of("relations"), *cache.codecs_of("hidden")]
    with pytest.raises(CacheMismatchError, match=r"needs decoder\.self, but .* holds encoder\.self@1"):
        terms_of(cache, "minilm")


def test_a_cache_of_hidden_states_alone_is_whole(home):
    """Nothing else is asked for, and nothing else is there."""
    path = home / "cache"
    cache = miniend.open_cache(path)
    assert verify_cache(path).sound
    assert (cache[0].logits, list(cache[0].relations)) == (None, [])
    names = set(PublishedFolder(path / "shards" / "train-000000", "marker").columns)
    ids = {f"{side}.{part}" for side in ("inputs", "targets") for part in ("ids", "offsets")}
    assert names == ids | {f"hidden.{site}" for site in SITES}


def test_inspection_tells_of_size_and_fidelity(home, beside):
    """Bytes of their columns alone, whole and per token, beside bfloat16; and the target."""
    for path in (home / "cache", beside):
        facts = inspect_cache(path)
        cache = miniend.open_cache(path)
        assert list(facts.bytes.hidden) == list(facts.hidden) == list(cache.codecs_of("hidden"))
        for site, size in facts.bytes.hidden.items():
            assert size == sum(shard.folder.column_bytes(f"hidden.{site}") for shard in cache.shards)
            [axis] = facts.hidden[site].axis.values()
            assert facts.bytes_per_token.hidden[site] == {"hidden": pytest.approx(size / facts.tokens[axis])}
            assert facts.raw_bytes_per_token.hidden[site] == {"hidden": 2 * 32}
        assert facts.fidelity.hidden_error_target == 1e-3
        lines = [line for line in describe(facts) if ".hidden@" in line]
        assert len(lines) == len(facts.hidden)
        assert all("relative squared error" in line and "(target 1e-03)" in line for line in lines)


@pytest.mark.parametrize(
    ("changed", "named"), [({"hidden_error": 1e-2}, "--hidden-error"), ({"signals": SITES[0]}, "--signal")]
)
def test_another_target_or_other_sites_are_refused_by_name(home, tmp_path, changed, named):
    """Shards of two targets in one cache would say one fidelity."""
    settings = {**PAIRS, **ALONE, "teacher": home / "teacher", "cache": home / "cache", **changed}
    with pytest.raises(CacheMismatchError, match=named):
        build_tiny_cache(tmp_path, **settings)


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"width": lambda _self, _facts: 7}, "hidden of encoder.hidden@1 should be 7 wide, found 32"),
        (
            {"modules": lambda _self, model, _site: {"hidden": torch.nn.Identity()}},
            "found none, because its module did",
        ),
    ],
)
def test_a_kind_whose_tensors_are_not_what_it_says_is_refused_before_anything_is_fitted(
    home, tmp_path, monkeypatch, changed, named
):
    """A user's own kind; its codes would have another width than every reader expects."""
    for name, value in changed.items():
        monkeypatch.setattr(type(KINDS["hidden"]), name, value)
    with pytest.raises(ConfigurationError, match=f"kind of signal hidden: .*{named}.*; correct the kind"):
        build_tiny_cache(tmp_path, **PAIRS, teacher=home / "teacher", signals="encoder.hidden", logits="none")
