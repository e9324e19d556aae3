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
from miniend.recipes.repair.config import RepairConfig
from miniend.recipes.repair.repair import repair_cache
from miniend.recipes.repair.verify import verify_cache
from miniend.signals.kinds import KINDS
from miniend.signals.sites import site_from
from miniend.signals.taps import replaced, tapped
from miniend.storage.folder import PublishedFolder
from miniend.teacher_dump.calibration.hints import calibration_lines
from support.damage import files_of, flip
from support.setups import terms_of
from support.tiny_cache import PAIRS, build_tiny_cache

SITES = ("encoder.hidden@0", "encoder.hidden@1", "decoder.hidden@1")
ALONE = {"signals": SITES, "logits": "none"}
TARGET = 1e-2
"""The default."""
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
            mean = cache.codecs[site].centres[0].numpy()
            error[site] += float(np.square(example.hidden[site] - states).sum())
            energy[site] += float(np.square(states - mean).sum())
    for site in SITES:
        assert TARGET / 2 < error[site] / energy[site] < 1.1 * TARGET
    told = inspect_cache(home / "cache").fidelity.hidden_error
    assert set(told) == set(SITES)
    assert all(TARGET / 2 < value < 1.1 * TARGET for value in told.values())


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
        assert facts.fidelity.hidden_error_target == TARGET
        lines = [line for line in describe(facts) if line.startswith(tuple(facts.hidden))]
        assert len(lines) == len(facts.hidden)
        assert all("squared error" in line and "(target 1e-02), over rms" in line for line in lines)


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"hidden_error": 1e-3}, "--hidden-error"),
        ({"hidden_code": "separate"}, "--hidden-code"),
        ({"signals": SITES[0]}, "--signal"),
    ],
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


@pytest.fixture(scope="module")
def stacks(tmp_path_factory):
    """All layers of the decoder and two of the encoder with a gap, in the chain code; and the same by themselves."""
    folder = tmp_path_factory.mktemp("stacks")
    build_tiny_cache(folder, **PAIRS, **CHAIN, layers=(3, 3))
    settings = {
        **PAIRS,
        **CHAIN,
        "teacher": folder / "teacher",
        "cache": folder / "separate",
        "hidden_code": "separate",
    }
    build_tiny_cache(folder / "other", **settings)
    return folder


CHAIN = {"signals": ("encoder.hidden@0,2", "decoder.hidden@all"), "logits": "none"}
LAYERS = ("encoder.hidden@0", "encoder.hidden@2", *(f"decoder.hidden@{layer}" for layer in range(3)))


def tapped_states(model, example):
    """The states of every stored layer, from the blocks themselves, and the logits."""
    with tapped(model, [site_from(name) for name in LAYERS]) as taps, torch.no_grad():
        ids, labels = (torch.from_numpy(part).long()[None] for part in (example.input_ids, example.labels))
        logits = model(input_ids=ids, labels=labels).logits[0]
    return {name: taps[name]["hidden"][0].numpy() for name in LAYERS}, logits


@pytest.mark.parametrize("name", ["cache", "separate"])
def test_every_layer_of_a_stack_is_within_the_target_on_examples_that_nothing_was_fitted_on(stacks, name):
    """A code that predicts from the exact layer below, and not from the decoded one, would add up errors."""
    cache = miniend.open_cache(stacks / name)
    model = T5ForConditionalGeneration.from_pretrained(stacks / "teacher").eval()
    below = {site: str(codec.predicted_from) for site, codec in cache.codecs.items() if codec.predicted_from}
    chain = dict(zip((LAYERS[1], *LAYERS[3:]), (LAYERS[0], *LAYERS[2:4]), strict=True))
    assert below == (chain if name == "cache" else {})
    error, energy = (dict.fromkeys(LAYERS, 0.0) for _ in range(2))
    for example in (*cache[20:], *cache.validation):
        for site, states in tapped_states(model, example)[0].items():
            error[site] += float(np.square(example.hidden[site] - states).sum())
            energy[site] += float(np.square(states - cache.codecs[site].centres[0].numpy()).sum())
    found = {site: error[site] / energy[site] for site in LAYERS}
    assert all(TARGET / 2 < value < 1.2 * TARGET for value in found.values()), found
    told = inspect_cache(stacks / name).fidelity
    assert all(TARGET / 2 < told.hidden_error[site] < 1.2 * TARGET for site in LAYERS)
    assert all(told.normalized_hidden_error[site] == pytest.approx(told.hidden_error[site], rel=0.5) for site in LAYERS)


def test_layers_are_the_same_in_whatever_order_they_are_read(stacks):
    """An example keeps the latest layer to decode the next one from; what its user does to an array must not reach it."""
    cache = miniend.open_cache(stacks / "cache")
    upwards = {site: cache[3].hidden[site] for site in LAYERS}
    example = cache[3]
    for site in (*reversed(LAYERS), *LAYERS, LAYERS[1]):
        array = example.hidden[site]
        assert np.array_equal(array, upwards[site])
        array[:] = np.nan


def test_two_workers_with_a_part_of_the_shards_each_write_the_same_bytes(stacks, tmp_path):
    """Each decodes the layer below from its own integers; these follow from the plan alone."""
    settings = {**PAIRS, **CHAIN, "teacher": stacks / "teacher", "cache": tmp_path / "cache"}
    for part in ("2:", ":2"):
        build_tiny_cache(tmp_path / "worker", **settings, shards=part)
    assert files_of(tmp_path / "cache") == files_of(stacks / "cache")


def test_the_kl_of_the_teacher_that_goes_on_is_what_it_predicts_from_decoded_states(stacks):
    """A number of another pass, or of the whole state, would calm its reader for nothing."""
    cache = miniend.open_cache(stacks / "cache")
    model = T5ForConditionalGeneration.from_pretrained(stacks / "teacher").eval()
    start, stop = cache.calibration.examples.report
    nats, count = dict.fromkeys((LAYERS[1], LAYERS[4]), 0.0), 0
    for example in cache[start:stop]:
        p = tapped_states(model, example)[1].log_softmax(-1)
        count += len(p)
        for site in nats:
            states = {"hidden": torch.from_numpy(example.hidden[site])[None]}
            with replaced(model, site_from(site), states):
                q = tapped_states(model, example)[1].log_softmax(-1)
            nats[site] += float((p.exp() * (p - q)).sum())
    told = cache.calibration.fidelity
    kls = {site: kinds["continued_kl"] for site, kinds in told.items() if "continued_kl" in kinds}
    assert {site: kl.total for site, kl in kls.items()} == pytest.approx(nats, rel=1e-3)
    assert {kl.count for kl in kls.values()} == {count}
    facts = inspect_cache(stacks / "cache")
    assert facts.fidelity.continued_kl == pytest.approx({site: value / count for site, value in nats.items()}, rel=1e-3)
    lines = [line for line in describe(facts) if "going on from decoded" in line]
    assert [line.split(":")[0].split()[-1] for line in lines] == list(nats)
    hints = [*calibration_lines(cache.calibration, cache.plan)]
    assert (
        sum("at --hidden-error 0.01 the teacher, going on from the decoded states, is off by" in line for line in hints)
        == 2
    )


def test_a_decoded_state_replaces_what_a_block_gives_and_nothing_stays_behind(stacks):
    """With the exact states in their place the teacher must predict the same, and after the block too."""
    model = T5ForConditionalGeneration.from_pretrained(stacks / "teacher").eval()
    example = miniend.open_cache(stacks / "cache")[0]
    states, logits = tapped_states(model, example)
    with replaced(model, site_from(LAYERS[1]), {"hidden": torch.from_numpy(states[LAYERS[1]])[None]}):
        assert torch.allclose(tapped_states(model, example)[1], logits, atol=1e-5)
    with replaced(model, site_from(LAYERS[1]), {"hidden": torch.zeros(1, *states[LAYERS[1]].shape)}):
        assert not torch.allclose(tapped_states(model, example)[1], logits, atol=1e-2)
    assert torch.equal(tapped_states(model, example)[1], logits)


def test_a_damaged_prediction_and_a_damaged_layer_are_made_again_to_the_same_bytes(stacks, tmp_path):
    """The shards were coded with the very matrix that is lost; one that differs in a bit would belong to another cache."""
    cache = Path(shutil.copytree(stacks / "cache", tmp_path / "cache"))
    before = files_of(cache)
    for lost in (f"calibration/{LAYERS[1]}.hidden.prediction", f"shards/train-000001/hidden.{LAYERS[2]}"):
        data = next(file for file in (cache / lost).rglob("*") if file.is_file() and file.name != "zarr.json")
        flip(data, data.stat().st_size // 2, 3)
    sources = {"teacher": str(stacks / "teacher"), "corpus": (str(stacks / "pairs.jsonl"),), "device": "cpu"}
    done = repair_cache(RepairConfig(cache=cache, **sources), lambda _line: None)
    assert list(done.redone) == ["calibration", "shards/train-000001"]
    assert files_of(cache) == before
