"""Taps: they read the linears and the blocks that a site says, within the block that opens them alone."""

import pytest
import torch
from transformers import (
    MT5Config,
    MT5ForConditionalGeneration,
    T5Config,
    T5ForConditionalGeneration,
    UMT5Config,
    UMT5ForConditionalGeneration,
)

from miniend.errors import ConfigurationError
from miniend.signals.kinds import KINDS, parse_sites
from miniend.signals.taps import tapped

DEPTHS = {"encoder": 2, "decoder": 3}


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    config = T5Config(
        vocab_size=40,
        d_model=16,
        d_kv=6,
        num_heads=2,
        d_ff=16,
        num_layers=2,
        num_decoder_layers=3,
        decoder_start_token_id=0,
    )
    return T5ForConditionalGeneration(config).eval()


def run(model):
    ids = torch.arange(3, 12)[None]
    return model(input_ids=ids, decoder_input_ids=ids[:, :4], use_cache=False, output_hidden_states=True)


def test_taps_hold_the_images_of_the_layers_own_input(model):
    """A hook one layer off, or q for k, has the same shape."""
    sites = parse_sites("encoder.self@0,encoder.self@1,decoder.self@2,decoder.cross@1", DEPTHS)
    with tapped(model, sites) as captured, torch.no_grad():
        out = run(model)
    encoder, decoder = model.encoder.block, model.decoder.block
    for layer in (0, 1):
        normed = encoder[layer].layer[0].layer_norm(out.encoder_hidden_states[layer])
        for kind in ("query", "key", "value"):
            linear = getattr(encoder[layer].layer[0].SelfAttention, kind[0])
            assert torch.allclose(captured[f"encoder.self@{layer}"][kind], linear(normed), atol=1e-5)
    normed = decoder[2].layer[0].layer_norm(out.decoder_hidden_states[2])
    assert torch.allclose(captured["decoder.self@2"]["key"], decoder[2].layer[0].SelfAttention.k(normed), atol=1e-5)
    cross = decoder[1].layer[1].EncDecAttention
    assert torch.allclose(captured["decoder.cross@1"]["value"], cross.v(out.encoder_last_hidden_state), atol=1e-5)
    assert captured["decoder.cross@1"]["query"].shape == (1, 4, 12)
    assert captured["decoder.cross@1"]["key"].shape == (1, 9, 12)


FAMILY = {
    "t5": (T5Config, T5ForConditionalGeneration, "relu"),
    "gated": (T5Config, T5ForConditionalGeneration, "gated-gelu"),
    "mt5": (MT5Config, MT5ForConditionalGeneration, "gated-gelu"),
    "umt5": (UMT5Config, UMT5ForConditionalGeneration, "gated-gelu"),
}


@pytest.mark.parametrize("name", FAMILY)
def test_hidden_states_are_those_of_transformers_before_the_final_layer_norm(name):
    """Its own list starts with the embeddings and ends behind the norm, so a tap one layer off has the same shape."""
    config_class, model_class, feed_forward = FAMILY[name]
    torch.manual_seed(1)
    sizes = {"vocab_size": 40, "d_model": 16, "d_kv": 6, "num_heads": 2, "d_ff": 16, "num_layers": 2}
    config = config_class(**sizes, num_decoder_layers=3, feed_forward_proj=feed_forward, decoder_start_token_id=0)
    other = model_class(config).eval()
    names = [*(f"encoder.hidden@{layer}" for layer in range(2)), *(f"decoder.hidden@{layer}" for layer in range(3))]
    with tapped(other, parse_sites(",".join(names), DEPTHS)) as captured, torch.no_grad():
        out = run(other)
    for side, states in (("encoder", out.encoder_hidden_states), ("decoder", out.decoder_hidden_states)):
        norm = getattr(other, side).final_layer_norm
        found = [captured[site]["hidden"] for site in names if site.startswith(side)]
        assert len(states) == len(found) + 1
        for ours, theirs in zip(found[:-1], states[1:-1], strict=True):
            assert torch.equal(ours, theirs)
        with torch.no_grad():
            assert torch.equal(norm(found[-1]), states[-1])
        assert not torch.allclose(found[-1], states[-1], atol=1e-2)


def test_taps_are_part_of_the_graph_and_end_with_the_block(model):
    """A detached tap trains nothing; one that stays holds every later activation in memory."""
    sites = parse_sites("encoder.self", DEPTHS)
    with tapped(model, sites) as captured:
        run(model)
        captured["encoder.self@1"]["query"].sum().backward()
        kept = captured["encoder.self@1"]["query"]
    assert model.encoder.block[0].layer[0].SelfAttention.q.weight.grad is not None
    model.zero_grad()
    run(model)
    assert captured["encoder.self@1"]["query"] is kept
    with pytest.raises(RuntimeError, match="stop"), tapped(model, sites):
        raise RuntimeError("stop")
    assert not any(module._forward_hooks for module in model.modules() if isinstance(module, torch.nn.Linear))


@pytest.mark.parametrize(
    ("modules", "named"),
    [
        (lambda _model: None, r"`modules` should return a module for each of its tensors \('hidden',\), found None"),
        (lambda model: {"states": model.encoder}, "`modules` should return a module for each of its tensors"),
        (lambda _model: {"hidden": "encoder"}, "`modules` should return a module for each of its tensors"),
        (
            lambda model: {"hidden": model.encoder},
            r"hidden should return a tensor \[batch, length, width\], found Base",
        ),
    ],
)
def test_a_kind_that_names_other_modules_is_refused_by_its_name(model, monkeypatch, modules, named):
    """It would be a KeyError of a term, or the coding of something that is no signal."""
    monkeypatch.setattr(type(KINDS["hidden"]), "modules", lambda _self, model, _site: modules(model))
    with (
        pytest.raises(ConfigurationError, match=f"kind of signal hidden: .*{named}.*; correct the kind"),
        tapped(model, parse_sites("encoder.hidden", DEPTHS)),
    ):
        run(model)
