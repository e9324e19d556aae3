"""What a cache gives back, held against a plain transformers forward of the same example and formulas of its own.

Nothing of the package's mathematics is used here: a cache is dumped, opened with `miniend.open_cache`, and compared.
"""

import ast
import functools
import json
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import transformers

import miniend
from miniend.recipes.inspect.inspection import inspect_cache
from miniend.teacher_dump.config import DumpConfig
from miniend.teacher_dump.dump import dump_teacher
from support.tiny_t5 import build_tiny_t5, tiny_texts, write_texts
from support.tiny_tokenizer import build_tiny_tokenizer

SITES = ("encoder.self", "decoder.self", "decoder.cross")
KINDS = ("query", "key", "value")
FAMILIES = {
    "t5": {"model_type": "t5"},
    "v1.1 untied, inner 24 of 16": {"model_type": "t5", "v11": True, "tied": False, "d_kv": 6, "spare_rows": 0},
    "mt5 untied": {"model_type": "mt5", "tied": False},
    "umt5 untied": {"model_type": "umt5", "tied": False},
}
NARROW = {"d_model": 16, "d_kv": 4}
"""16 relation heads or 24: what is measured costs in proportion to them."""
CLASSES = {"t5": "T5", "mt5": "MT5", "umt5": "UMT5"}
CALIBRATION = 40
SETTINGS = {
    "examples": CALIBRATION + 16,
    "validation_examples": 8,
    "calibration_examples": CALIBRATION,
    "input_length": 40,
    "shard_examples": 24,
    "batch_size": 8,
    "logits": "none",
    "device": "cpu",
    "threads": 1,
}
LOSSLESS = {
    "examples": 12,
    "validation_examples": 4,
    "calibration_examples": 10,
    "relation_step": 5e-4,
    "logit_step": 1e-4,
    "logits": "top-k",
    "top_k": 1000,
}
TARGET = 3e-3


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    """A tokenizer and a corpus that all teachers share."""
    root = tmp_path_factory.mktemp("truth")
    texts = tiny_texts(400)
    return SimpleNamespace(
        root=root,
        corpus=write_texts(root / "corpus.jsonl", texts),
        tokenizer=build_tiny_tokenizer(texts, 240, sentinels=16),
    )


def slow_but(*quick):
    """Every family, those that are not named in `make test-slow` alone.

    A family decides which tensors are read and what the head's logits are, which the near-lossless caches prove for each.
    What is fitted to the tensors does not know where they came from: a width of its own and umT5's scale are enough.
    """
    return [name if name in quick else pytest.param(name, marks=pytest.mark.slow) for name in FAMILIES]


@pytest.fixture(scope="module")
def teachers(material):
    """teachers(name): a sharpened teacher of a family, made when it is first asked for."""

    @functools.cache
    def of(name):
        number = list(FAMILIES).index(name)
        folder = build_tiny_t5(
            material.root / f"teacher{number}", material.tokenizer, sharpen=0.8, **{**NARROW, **FAMILIES[name]}
        )
        return SimpleNamespace(folder=folder, number=number, material=material)

    return of


@pytest.fixture(scope="module", params=FAMILIES)
def family(request, teachers):
    """A sharpened teacher."""
    return teachers(request.param)


@pytest.fixture(scope="module", params=slow_but("t5", "umt5 untied"))
def drawn(request, teachers):
    """A sharpened teacher with a tied head, and one with a head and a scale of its own."""
    return teachers(request.param)


@pytest.fixture(scope="module", params=slow_but("t5", "v1.1 untied, inner 24 of 16"))
def fitted(request, teachers):
    """A sharpened teacher and its cache at the default fidelity: inner width of the model, and another."""
    found = teachers(request.param)
    return SimpleNamespace(**vars(found), cache=dump(found.material, found.folder, f"default{found.number}"))


def dump(material, teacher, name, **settings):
    config = {"corpus": str(material.corpus), "cache": material.root / name, **SETTINGS, **settings}
    dump_teacher(DumpConfig(teacher=str(teacher), **config), log=lambda _line: None)
    return miniend.open_cache(material.root / name)


def plain_model(folder):
    """The teacher as transformers has it, but for umT5's head scale, which transformers forces on untied heads too."""
    config = json.loads(Path(folder, "config.json").read_text())
    model_class = getattr(transformers, f"{CLASSES[config['model_type']]}ForConditionalGeneration")
    model = model_class.from_pretrained(folder).eval()
    if config["model_type"] == "umt5":
        model.config.tie_word_embeddings = config["tie_word_embeddings"]
    return model


def plain_forward(model, example):
    """Q, K, V per site and log-probabilities, float64, of one example without batch or padding."""
    modules = {
        "encoder.self": model.encoder.block[-1].layer[0].SelfAttention,
        "decoder.self": model.decoder.block[-1].layer[0].SelfAttention,
        "decoder.cross": model.decoder.block[-1].layer[1].EncDecAttention,
    }
    found = {site: {} for site in modules}
    hooks = []
    for site, module in modules.items():
        for kind in KINDS:
            keep = found[site]
            hook = lambda _m, _i, out, keep=keep, kind=kind: keep.__setitem__(kind, out[0].double().numpy())  # noqa: E731
            hooks.append(getattr(module, kind[0]).register_forward_hook(hook))
    with torch.no_grad():
        logits = model(
            input_ids=torch.tensor([example.input_ids.tolist()]),
            decoder_input_ids=torch.tensor([[0, *example.labels[:-1].tolist()]]),
        ).logits[0]
    for hook in hooks:
        hook.remove()
    return found, logits.double().log_softmax(-1).numpy()


def relation(left, right, heads, causal, inverse_temperature=1.0):
    """softmax(alpha A C^T / sqrt(d_r)) in float64, [heads, rows, keys]."""
    a, c = (side.astype(np.float64).reshape(len(side), heads, -1).transpose(1, 0, 2) for side in (left, right))
    scores = inverse_temperature * a @ c.transpose(0, 2, 1) / math.sqrt(a.shape[-1])
    if causal:
        scores = np.where(np.tril(np.ones(scores.shape[1:], dtype=bool)), scores, -np.inf)
    p = np.exp(scores - scores.max(-1, keepdims=True))
    return p / p.sum(-1, keepdims=True)


def pairs_of(site):
    """Kind of relation -> its two factors."""
    same = {kind: (kind, kind) for kind in KINDS}
    return same | {"query_key": ("query", "key")} if site == "decoder.cross" else same


def is_causal(site, kind):
    """Rows and keys of a relation are both target positions."""
    return site == "decoder.self" or (site == "decoder.cross" and kind == "query")


def entropy_share(p, causal):
    """Mean entropy over ln(visible keys), of rows that see more than one key."""
    entropy = -(p * np.log(np.where(p > 0, p, 1.0))).sum(-1)
    keys = np.arange(1, p.shape[1] + 1) if causal else np.full(p.shape[1], p.shape[2])
    return float((entropy[:, keys > 1] / np.log(keys[keys > 1])).mean())


def measure(cache, model, examples, heads=None):
    """Per full site name and kind: mean relation KL and mean relative entropy of the teacher's relation.

    They are measured at the site's own number of relation heads, or at another one.
    """
    described = inspect_cache(cache.path).relations
    kls, entropies = {}, {}
    for example in examples:
        truth, _ = plain_forward(model, example)
        for name, about in described.items():
            site = name.partition("@")[0]
            for kind, (left, right) in pairs_of(site).items():
                causal, stored = is_causal(site, kind), example.relations[name]
                settings = heads or about.relation_heads, causal, about.inverse_temperature[kind]
                p = relation(truth[site][left], truth[site][right], *settings)
                q = relation(getattr(stored, left), getattr(stored, right), *settings)
                kl = np.where(p > 0, p * (np.log(np.where(p > 0, p, 1)) - np.log(np.where(q > 0, q, 1))), 0).sum(-1)
                kls.setdefault(name, {}).setdefault(kind, []).append(kl.ravel())
                entropies.setdefault(name, {}).setdefault(kind, []).append(entropy_share(p, causal))
    mean_kl = {site: {kind: float(np.concatenate(v).mean()) for kind, v in of.items()} for site, of in kls.items()}
    return mean_kl, {site: {kind: float(np.mean(v)) for kind, v in of.items()} for site, of in entropies.items()}


def assert_faithful(kls):
    """The promise of --relation-kl, of each site."""
    for site, of in kls.items():
        assert max(of.values()) <= TARGET, (site, of)


def unseen(cache):
    """Examples that calibration did not use."""
    return [*cache[CALIBRATION:], *cache.validation]


def relative_error(found, expected):
    assert found.shape == expected.shape
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


def assert_same_factors(example, truth):
    for site in SITES:
        for kind in KINDS:
            error = relative_error(getattr(example.relations[site], kind), truth[site][kind])
            assert error < 1e-3, (site, kind, error)


def assert_same_distribution(example, log_p):
    """Every kept log-probability, and the tail, are those of the full softmax."""
    logits = example.logits
    position = np.repeat(np.arange(len(log_p)), np.diff(logits.head_starts))
    expected = log_p[position, logits.head_ids]
    assert np.abs(logits.head_log_probabilities - expected).max() < 1e-3
    kept = np.bincount(position, np.exp(expected), minlength=len(log_p))
    assert np.abs(logits.tail_mass - (1 - kept)).max() < 1e-3
    assert len(logits.draw_ids) == 0


def test_this_file_uses_none_of_the_mathematics_that_it_tests():
    """An error shared by product and test would cancel out, and every comparison below would pass."""
    tree = ast.parse(Path(__file__).read_text())
    modules = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    modules += [name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names]
    assert "miniend.teacher_dump.dump" in modules
    assert not [name for name in modules if "signals" in name]


def test_a_near_lossless_cache_holds_what_plain_transformers_computes(family):
    """A tap on the wrong layer, a shifted decoder input or a wrong head scale would teach students something else."""
    cache = dump(family.material, family.folder, f"lossless{family.number}", **LOSSLESS)
    model = plain_model(family.folder)
    entries = len(family.material.tokenizer)
    for example in [*cache[:3], cache[-1], *cache.validation[:2]]:
        truth, log_p = plain_forward(model, example)
        assert_same_factors(example, truth)
        assert example.logits.head_starts.tolist() == [entries * i for i in range(len(example.labels) + 1)]
        assert np.array_equal(np.sort(example.logits.head_ids[:entries]), np.arange(entries))
        assert_same_distribution(example, log_p)


def test_a_hybrid_cache_holds_every_likely_id_and_draws_that_average_to_the_rest(drawn):
    """Heads of one position beside draws of another, or weights that are not the tail's, would still train."""
    draws = 150  # random teachers are flat: about half of the ids are likelier than this
    settings = {**LOSSLESS, "examples": 24, "logits": "hybrid", "draws": draws, "signals": "none"}
    cache = dump(drawn.material, drawn.folder, f"hybrid{drawn.number}", **settings)
    model = plain_model(drawn.folder)
    entries = len(drawn.material.tokenizer)
    expected, found, variance = np.zeros(entries), np.zeros(entries), np.zeros(entries)
    for example in cache:
        _, log_p = plain_forward(model, example)
        logits, p = example.logits, np.exp(log_p)
        position = np.repeat(np.arange(len(p)), np.diff(logits.head_starts))
        likely = p[:, :entries] >= (1 + 1e-4) / draws
        likely[position, logits.head_ids] = False
        assert not likely.any()
        assert (p[position, logits.head_ids] >= (1 - 1e-4) / draws).all()
        assert np.abs(logits.head_log_probabilities - log_p[position, logits.head_ids]).max() < 1e-3
        p[position, logits.head_ids] = 0
        mass = p.sum(1)
        assert np.abs(logits.tail_mass - mass).max() < 1e-3
        counts = np.diff(logits.draw_starts)
        assert (np.abs(counts - draws * mass) <= np.where(mass < 1 / draws, 1, 0.55)).all()
        drawn = np.repeat(np.arange(len(p)), counts)
        assert np.allclose(logits.draw_weights, np.maximum(mass, 1 / draws)[drawn] / counts[drawn], atol=1e-4)
        p = p[:, :entries] * (mass / p[:, :entries].sum(1).clip(1e-30))[:, None]
        expected += p.sum(0)
        found += np.bincount(logits.draw_ids, logits.draw_weights, minlength=entries)
        variance += (p / draws).sum(0)
    assert (np.abs(found - expected) <= 5 * np.sqrt(variance) + 1.5 / draws).all()
    assert found.sum() == pytest.approx(expected.sum(), rel=0.05)


def test_states_and_the_head_give_every_probability_at_any_temperature(family):
    """A head without its scale, or a norm of another stack, would give distributions that look as good as the teacher's."""
    small = {"examples": 12, "validation_examples": 2, "calibration_examples": 10, "signals": "none"}
    states = {"logits": "from-hidden", "hidden_error": 1e-10}
    cache = dump(family.material, family.folder, f"states{family.number}", **small, **states)
    model = plain_model(family.folder)
    assert list(cache.codecs) == [str(cache.state_site)]
    for example in [*cache[:3], *cache.validation]:
        _, log_p = plain_forward(model, example)
        found = cache.log_probabilities(example.hidden["decoder.hidden"])
        assert found.shape == log_p.shape
        assert np.abs(found.numpy() - log_p).max() < 1e-4
        tempered = torch.from_numpy(log_p / 3).log_softmax(-1)
        again = cache.log_probabilities(example.hidden["decoder.hidden"], temperature=3.0)
        assert float((again - tempered).abs().max()) < 1e-4
        assert example.logits is None


def test_the_default_cache_meets_its_fidelity_on_examples_that_it_was_not_fitted_on(fitted):
    """A step that only fits the calibration examples would promise a KL that the other millions do not have."""
    kls, entropies = measure(fitted.cache, plain_model(fitted.folder), unseen(fitted.cache))
    assert all(share < 0.8 for of in entropies.values() for share in of.values()), entropies
    assert_faithful(kls)


def test_the_default_cache_meets_its_fidelity_at_the_fewest_and_the_most_heads_and_inspect_says_so(fitted):
    """A student with few heads may see twice the error of one with many."""
    told = inspect_cache(fitted.cache.path).fidelity.relation_kl_by_heads
    numbers = {heads for kinds in told.values() for by_heads in kinds.values() for heads in by_heads}
    for heads in (min(numbers), max(numbers)):
        kls, _ = measure(fitted.cache, plain_model(fitted.folder), unseen(fitted.cache), heads)
        assert_faithful(kls)
        for site, of in kls.items():
            shown = {kind: by_heads[heads] for kind, by_heads in told[site].items()}
            assert shown == pytest.approx(of, rel=0.3), "shards measure two examples each, and some rows of these"


def test_what_inspect_prints_is_what_is_there(fitted):
    """Fidelity is measured by the code that encodes; printed numbers must be those of an independent measurement."""
    described = inspect_cache(fitted.cache.path)
    used = fitted.cache.calibration.examples.step[1]
    size, count = SETTINGS["shard_examples"], len(fitted.cache)
    free = [[i for i in range(start, min(start + size, count)) if i >= used] for start in range(0, count, size)]
    first_two = [fitted.cache[i] for shard in free for i in shard[:2]] + fitted.cache.validation[:2]
    kls, entropies = measure(fitted.cache, plain_model(fitted.folder), first_two)
    for site, of in kls.items():
        assert described.fidelity.relation_kl[site] == pytest.approx(of, rel=0.02)
        assert described.relations[site].relative_entropy == pytest.approx(entropies[site], abs=0.05)


@pytest.mark.parametrize("site", SITES)
def test_a_step_eight_times_larger_fails_the_same_assertion(fitted, site):
    """Random T5s have uniform relations that any quantizer passes: only this shows that the assertion can fail at all."""
    [name] = [full for full in inspect_cache(fitted.cache.path).relations if full.startswith(site)]
    step = max(inspect_cache(fitted.cache.path).relations[name].step.values())
    few = {"examples": 12, "validation_examples": 0, "calibration_examples": 8, "logits": "none"}
    coarse = dump(
        fitted.material, fitted.folder, f"coarse{fitted.number}-{site}", **few, signals=site, relation_step=8 * step
    )
    kls, _ = measure(coarse, plain_model(fitted.folder), coarse[8:])
    with pytest.raises(AssertionError):
        assert_faithful(kls)


def test_a_batch_with_padding_gives_what_each_pair_gives_alone(family, tmp_path):
    """Padding that attends, that is counted into the basis or that is stored would shift every token behind it."""
    texts = tiny_texts(24, words=28, seed=5)
    cut = [5, 28, 12, 20, 3, 24]
    rows = [
        {"input": " ".join(text.split()[: cut[i % 6]]), "target": " ".join(text.split()[:: 2 + i % 5])}
        for i, text in enumerate(texts)
    ]
    corpus = tmp_path / "pairs.jsonl"
    corpus.write_text("".join(json.dumps(row) + "\n" for row in rows))
    pairs = {"corpus": str(corpus), "task": "pairs", "field": ("input", "target"), "target_length": 24}
    settings = {**LOSSLESS, **pairs, "examples": 9, "validation_examples": 1, "calibration_examples": 6}
    padded, alone = (
        dump(family.material, family.folder, f"pairs{family.number}-{size}", **settings, batch_size=size)
        for size in (8, 1)
    )
    model = plain_model(family.folder)
    lengths = [(len(example.input_ids), len(example.labels)) for example in padded]
    assert all(len(set(column[:8])) > 3 for column in zip(*lengths, strict=True))
    for one, other in zip([*padded, *padded.validation], [*alone, *alone.validation], strict=True):
        assert one.input_ids.tolist() == other.input_ids.tolist()
        assert one.labels.tolist() == other.labels.tolist()
        truth, log_p = plain_forward(model, one)
        for example in (one, other):
            assert_same_factors(example, truth)
            assert_same_distribution(example, log_p)
    for name in padded.calibration_folder.columns:
        if name.endswith(".mean"):
            assert padded.calibration_folder.column(name) == pytest.approx(
                alone.calibration_folder.column(name), rel=1e-4, abs=1e-5
            )
    for split in ("train", "validation"):
        assert padded.teacher_cross_entropy(split) == pytest.approx(alone.teacher_cross_entropy(split), rel=1e-5)


def test_calibrated_temperatures_sharpen_uniform_relations_to_four_fifths(material):
    """A plan that says 0.8 while the relation is uniform would train students on nothing; the fidelity must hold sharpened."""
    teacher = build_tiny_t5(material.root / "uniform", material.tokenizer, seed=3, **NARROW)
    model = plain_model(teacher)
    long = {"examples": CALIBRATION + 8, "input_length": 64}
    calibrated = dump(material, teacher, "temperature-calibrated", relation_temperature="calibrated", **long)
    few = {**long, "examples": 8, "calibration_examples": 8}
    published = dump(material, teacher, "temperature-published", relation_temperature="published", **few)
    _, before = measure(published, model, published.validation)
    kls, after = measure(calibrated, model, unseen(calibrated))
    inverse_temperature = {
        site: about.inverse_temperature for site, about in inspect_cache(calibrated.path).relations.items()
    }
    sharpened = [
        (site, kind)
        for site in inverse_temperature
        for kind in inverse_temperature[site]
        if inverse_temperature[site][kind] != 1.0
    ]
    assert any(before[site][kind] > 0.99 for site, kind in sharpened)
    for site, kind in sharpened:
        assert before[site][kind] > 0.8
        assert after[site][kind] == pytest.approx(0.8, abs=0.02), (site, kind)
    for site, of in before.items():
        assert all((site, kind) in sharpened or share < 0.82 for kind, share in of.items())
    assert_faithful(kls)
