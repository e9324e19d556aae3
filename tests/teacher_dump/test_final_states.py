"""Cached final states of the encoder are what transformers' encoder classes return, from a full checkpoint."""

import numpy as np
import pytest
import torch
from transformers import MT5EncoderModel, T5EncoderModel, UMT5EncoderModel

import miniend
from miniend.errors import CacheMismatchError
from miniend.recipes.inspect.inspection import describe, inspect_cache
from miniend.recipes.repair.verify import verify_cache
from support.tiny_cache import PAIRS, build_tiny_cache

CLASSES = {"t5": T5EncoderModel, "mt5": MT5EncoderModel, "umt5": UMT5EncoderModel}
SITE = "encoder.final@1"
ALONE = {"signals": "encoder.final", "logits": "none"}
TARGET = 1e-2
"""The default."""


def encoder_of(folder, kind="t5"):
    """transformers' own encoder class, of the same checkpoint."""
    return CLASSES[kind].from_pretrained(folder / "teacher").eval()


def states_of(model, example):
    """`last_hidden_state` of an example that the model sees alone."""
    with torch.no_grad():
        return model(input_ids=torch.from_numpy(example.input_ids).long()[None]).last_hidden_state[0].numpy()


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Final states alone, at the default target."""
    folder = tmp_path_factory.mktemp("final")
    build_tiny_cache(folder, **PAIRS, **ALONE)
    return folder


@pytest.mark.parametrize("kind", CLASSES)
def test_at_a_tiny_target_they_are_those_of_transformers_encoder(tmp_path, kind):
    """Of ragged examples, each of which transformers sees alone; the last block's output, beside them, is another thing."""
    signals = ("encoder.final", "encoder.hidden")
    settings = {**PAIRS, "signals": signals, "logits": "none", "model_type": kind, "hidden_error": 1e-9}
    cache = miniend.open_cache(build_tiny_cache(tmp_path, **settings))
    assert list(cache.codecs) == ["encoder.hidden@1", SITE]
    assert cache.codecs[SITE].predicted_from is None
    model = encoder_of(tmp_path, kind)
    assert len({len(example.input_ids) for example in cache}) > 4
    for example in (*cache, *cache.validation):
        states = states_of(model, example)
        np.testing.assert_allclose(example.hidden["encoder.final"], states, rtol=0, atol=2e-4 * np.abs(states).max())


def test_they_are_within_the_target_on_examples_that_nothing_was_fitted_on(home):
    """Measured with our own eyes, and as the markers say."""
    cache, model = miniend.open_cache(home / "cache"), encoder_of(home)
    mean, error, energy = cache.codecs[SITE].centres[0].numpy(), 0.0, 0.0
    for example in (*cache[20:], *cache.validation):
        states = states_of(model, example)
        error += float(np.square(example.hidden[SITE] - states).sum())
        energy += float(np.square(states - mean).sum())
    assert TARGET / 2 < error / energy < 1.1 * TARGET
    assert TARGET / 2 < inspect_cache(home / "cache").fidelity.hidden_error[SITE] < 1.1 * TARGET


def test_a_reader_is_told_what_their_error_does_to_the_decoder(home):
    """The decoder reads the decoded states in the place of the encoder's output."""
    assert verify_cache(home / "cache").sound
    facts = inspect_cache(home / "cache")
    assert 0 < facts.fidelity.continued_kl[SITE] < 0.1
    assert any(SITE in line and "going on from decoded" in line for line in describe(facts))


def test_filters_are_not_made_of_them(home):
    """The teacher goes on from a filtered state with its final norm, which these states have behind them."""
    with pytest.raises(CacheMismatchError, match="holds no hidden states"):
        miniend.filters(cache=home / "cache", teacher=home / "teacher", quiet=True)
