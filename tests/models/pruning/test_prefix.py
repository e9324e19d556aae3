"""A prefix is the full model with the other heads and neurons masked, in every family, and plain transformers loads it."""

import pytest
import torch
from transformers import AutoModelForSeq2SeqLM

from miniend.models.families import HEADS, family_of
from miniend.models.pruning.prefix import cut_model, prefix_of, prefix_slices
from miniend.models.pruning.widths import Widths, widths_of
from miniend.models.save import save_student
from support.prunable import prunable
from support.students import FAMILY_NAMES, logits

KINDS = pytest.mark.parametrize("kind", FAMILY_NAMES)
BOTH = pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])


def masked(model, widths):
    """Zero the columns of `o` and `wo` that read a removed head or neuron: the same as a mask on their inputs."""
    family, config = family_of(model), model.config
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            units = family.units(name, config.d_kv)
            if units is not None and units.reader:
                parameter[:, units.width * (widths.heads if units.kind == HEADS else widths.d_ff) :] = 0
    return model


@KINDS
@BOTH
@pytest.mark.parametrize("widths", [Widths(1, 64), Widths(3, 128)], ids=str)
def test_the_prefix_computes_what_the_masked_model_does(kind, tied, widths):
    """A row too many, a bias of other heads, or a half of a gate that is left shows in the logits."""
    model = prunable(kind, tied)
    smaller = cut_model(model, widths)
    assert widths_of(smaller.config) == widths
    torch.testing.assert_close(logits(smaller), logits(masked(model, widths)), rtol=0, atol=1e-7)


@KINDS
@BOTH
def test_the_prefix_is_an_ordinary_checkpoint(tmp_path, kind, tied):
    """An assistant is loaded by tools that know nothing of pruning."""
    smaller = cut_model(prunable(kind, tied).float(), Widths(2, 64))
    save_student(smaller, tmp_path, {}, "")
    loaded, report = AutoModelForSeq2SeqLM.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert torch.equal(logits(loaded), logits(smaller))


@KINDS
def test_the_whole_is_a_prefix_too(kind):
    """Nothing that is not by heads or neurons may be cut."""
    model = prunable(kind, False)
    names = dict(model.named_parameters())
    slices = prefix_slices(family_of(model), names, model.config.d_kv, widths_of(model.config))
    whole = prefix_of(names, slices)
    assert all(torch.equal(whole[name], names[name]) for name in names)


def test_gradients_of_a_prefix_reach_the_whole_and_nothing_beyond_it():
    """A schedule trains all prefixes in one set of weights."""
    model = prunable("t5", True)
    names, widths = dict(model.named_parameters()), Widths(2, 64)
    slices = prefix_slices(family_of(model), names, model.config.d_kv, widths)
    sum(part.sum() for part in prefix_of(names, slices).values()).backward()
    for name, parameter in names.items():
        expected = torch.zeros_like(parameter)
        expected[slices[name]] = 1
        assert torch.equal(parameter.grad, expected)


def test_torchs_random_state_is_not_touched():
    """A student's seed must decide the same with and without a start from a prefix."""
    model = prunable("t5", False)
    before = torch.get_rng_state()
    cut_model(model, Widths(2, 64))
    assert torch.equal(torch.get_rng_state(), before)
