"""Sorting does not change what a model computes, with any order of any group; an order per layer where a bias is shared does."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from miniend.errors import ConfigurationError
from miniend.models.families import HEADS, family_of
from miniend.models.pruning.groups import groups_of
from miniend.models.pruning.prefix import cut_model
from miniend.models.pruning.sorting import reordered, sort_model
from miniend.models.pruning.widths import Widths, kept_widths, widths_of
from support.prunable import prunable
from support.students import FAMILY_NAMES, logits

EXACT = 1e-7
"""The models are float64, but transformers' norm takes the variance in float32."""
KINDS = pytest.mark.parametrize("kind", FAMILY_NAMES)


def shuffled(model, seed):
    """A random order of every group."""
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randperm(group.count, generator=generator).tolist() for name, group in groups_of(model).items()}


@KINDS
@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@settings(max_examples=4)
@given(seed=st.integers(0, 2**31))
def test_any_order_leaves_the_function_as_it_is(kind, tied, seed):
    """T5 v1.0, v1.1-like gated mT5 and umT5; width of heads times d_kv is not d_model; the position bias is large."""
    model = prunable(kind, tied, size="2E2D32H")
    before = logits(model)
    sort_model(model, shuffled(model, seed))
    torch.testing.assert_close(logits(model), before, rtol=0, atol=EXACT)


def test_any_order_leaves_a_gated_t5_as_it_is():
    """T5 v1.1 is of type t5, has two input maps of the feed-forward, and its head is not scaled."""
    model = prunable("t5", False, feed_forward_proj="gated-gelu")
    assert any("wi_1" in name for name, _ in model.named_parameters())
    before = logits(model)
    sort_model(model, shuffled(model, 0))
    torch.testing.assert_close(logits(model), before, rtol=0, atol=EXACT)


@pytest.mark.parametrize("kind", ["t5", "mt5"])
def test_an_order_for_each_layer_of_self_heads_would_change_the_function(kind):
    """The trap: blocks share the first one's bias, so heads would get the bias of other heads, and nothing says so."""
    model = prunable(kind, True)
    before, d_kv = logits(model), model.config.d_kv
    generator = torch.Generator().manual_seed(1)
    for name, group in groups_of(model).items():
        if not group.is_self_attention:
            continue
        stack, parameters = name.partition(".")[0], dict(model.named_parameters())
        for layer in range(family_of(model).depth(model.config, stack)):
            order = torch.randperm(group.count, generator=generator).tolist()
            for parameter in (one for one in group.parameters if f"{stack}.block.{layer}." in one):
                units = family_of(model).units(parameter, d_kv)
                if units.width == d_kv:  # not the bias
                    with torch.no_grad():
                        parameters[parameter].copy_(reordered(parameters[parameter], units, order))
    assert (logits(model) - before).abs().max() > 1e-2 * before.std()


@KINDS
def test_self_heads_have_one_order_per_stack_unless_each_block_has_its_own_bias(kind):
    """This is what keeps out of the trap."""
    heads = [name for name, group in groups_of(prunable(kind, True)).items() if group.kind == HEADS]
    cross = [f"decoder.cross@{layer}" for layer in range(3)]
    own = ["encoder.self@0", "encoder.self@1", "decoder.self@0", "decoder.self@1", "decoder.self@2"]
    assert sorted(heads) == sorted([*(own if kind == "umt5" else ["encoder.self", "decoder.self"]), *cross])


@KINDS
def test_a_smaller_prefix_is_a_prefix_of_a_larger_one(kind):
    """A schedule nests its candidates: the same heads and neurons, whether cut from the whole or from another prefix."""
    model = prunable(kind, True, heads=6, d_ff=384)
    sort_model(model, shuffled(model, 2))
    widths = [kept_widths(widths_of(model.config), keep) for keep in (0.9, 0.5, 0.2)]
    assert widths == [Widths(5, 320), Widths(3, 192), Widths(1, 64)]
    at_once, in_steps = cut_model(model, widths[2]), model
    for width in widths:
        in_steps = cut_model(in_steps, width)
    for (name, one), (_, other) in zip(at_once.named_parameters(), in_steps.named_parameters(), strict=True):
        assert torch.equal(one, other), name


@pytest.mark.parametrize(
    ("orders", "words"),
    [
        ({"encoder.self": [0, 1, 2]}, "each of its 4"),
        ({"encoder.self": [0, 1, 2, 2]}, "each of its 4"),
        ({"x": [0]}, "'x'"),
    ],
)
def test_an_order_that_is_none_is_refused(orders, words):
    """A head that is doubled or lost would change the function."""
    with pytest.raises(ConfigurationError, match=words):
        sort_model(prunable("t5", True), orders)
