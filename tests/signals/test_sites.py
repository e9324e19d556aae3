"""Sites: names and layers resolve once, and the taps read the linears that they say."""

import pytest
import torch
from transformers import T5Config, T5ForConditionalGeneration

from miniend.errors import ConfigurationError
from miniend.signals.sites import Site, find_site, parse_sites, tapped


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("encoder.self", ["encoder.self@5"]),
        ("decoder.cross,encoder.self,decoder.self", ["encoder.self@5", "decoder.self@2", "decoder.cross@2"]),
        ("encoder.self@-1,encoder.self@5,encoder.self", ["encoder.self@5"]),
        (" decoder.self@0 , decoder.self@-1,", ["decoder.self@0", "decoder.self@2"]),
        ("encoder.self@-6", ["encoder.self@0"]),
        ("", []),
    ],
)
def test_names_resolve_to_sorted_layers_without_repeats(text, found):
    """Two spellings of one site in a plan would be dumped twice, or be taken for another plan."""
    assert [str(site) for site in parse_sites(text, encoder_layers=6, decoder_layers=3)] == found


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("encoder", "unknown site 'encoder'"),
        ("encoder.cross", "expected one of encoder.self, decoder.self, decoder.cross"),
        ("encoder.self@6", "has 6 layers there, so 0 to 5 or -6 to -1"),
        ("decoder.self@3", "has 3 layers there"),
        ("decoder.cross@-4", "has 3 layers there"),
        ("encoder.self@x", "whole number"),
        ("decoder.hidden", "not supported yet"),
    ],
)
def test_a_site_that_is_not_there_is_refused_with_what_is(text, named):
    """A layer that wraps round would silently be another one."""
    with pytest.raises(ConfigurationError, match=named):
        parse_sites(text, encoder_layers=6, decoder_layers=3)


def test_a_short_name_finds_the_one_site_that_it_can_mean():
    """Of two stored layers, either could be taken without notice."""
    stored = ["encoder.self@5", "decoder.self@0", "decoder.self@2"]
    assert find_site("encoder.self", stored) == "encoder.self@5"
    assert find_site("decoder.self@0", stored) == "decoder.self@0"
    with pytest.raises(ConfigurationError, match=r"write one of decoder\.self@0, decoder\.self@2"):
        find_site("decoder.self", stored)
    for missing in ("decoder.cross", "encoder.self@4"):
        with pytest.raises(KeyError, match="no site"):
            find_site(missing, stored)


def test_axes_are_those_of_the_tokens():
    """K and V of cross-attention lie on the encoder's tokens."""
    axes = {
        name: (Site(name, 0).query_axis, Site(name, 0).key_axis)
        for name in ("encoder.self", "decoder.self", "decoder.cross")
    }
    assert axes == {
        "encoder.self": ("input", "input"),
        "decoder.self": ("target", "target"),
        "decoder.cross": ("target", "input"),
    }


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
    sites = parse_sites("encoder.self@0,encoder.self@1,decoder.self@2,decoder.cross@1", 2, 3)
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


def test_taps_are_part_of_the_graph_and_end_with_the_block(model):
    """A detached tap trains nothing; one that stays holds every later activation in memory."""
    sites = parse_sites("encoder.self", 2, 3)
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
