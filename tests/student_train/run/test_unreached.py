"""Unreached parameters: the probe finds what the graph of T5 predicts, and nothing that another batch could reach."""

import pytest
import torch

from miniend.errors import ConfigurationError
from miniend.models.families import FAMILIES, family_of
from miniend.models.size import student_config
from miniend.models.start.fresh import build_student
from miniend.signals.kinds import parse_sites
from miniend.signals.taps import tapped
from miniend.student_train.run.unreached import (
    freeze,
    require_gradient_of_what_is_read,
    summarise_unreached,
    unreached_parameters,
)

KINDS = pytest.mark.parametrize("kind", ["t5", "mt5", "umt5"])


def student(kind="t5", size="2L64H", tied=False):
    teacher = {"model_type": kind, "vocab_size": 50, "feed_forward_proj": "relu" if kind == "t5" else "gated-gelu"}
    return build_student(student_config(size, teacher), tied, 0)


def forward(model, **more):
    generator = torch.Generator().manual_seed(0)
    inputs, labels = (torch.randint(2, 50, (2, 5), generator=generator) for _ in range(2))
    return model(input_ids=inputs, labels=labels, **more)


def probe(model, sites, kinds=("query", "key", "value")):
    """The unreached parameters of an objective that looks at these factors of these sites."""
    chosen = parse_sites(sites, {"encoder": model.config.num_layers, "decoder": model.config.num_decoder_layers})

    def loss():
        with tapped(model, chosen) as captured:
            forward(model)
        return sum(captured[str(site)][kind].square().mean() for site in chosen for kind in kinds)

    return unreached_parameters(model, loss)


@KINDS
def test_cross_entropy_reaches_everything(kind):
    """A false alarm would freeze a trainable parameter for the whole run."""
    model = student(kind)
    assert unreached_parameters(model, lambda: forward(model).loss) == []


def test_decoder_self_attention_reaches_nothing_behind_its_factors():
    """The rest stays random, which the model card has to say."""
    names = probe(student(), "decoder.self")
    parts = ["layer.0.SelfAttention.o", "layer.1.EncDecAttention.q", "layer.1.EncDecAttention.k"]
    parts += ["layer.1.EncDecAttention.v", "layer.1.EncDecAttention.o", "layer.1.layer_norm"]
    parts += ["layer.2.DenseReluDense.wi", "layer.2.DenseReluDense.wo", "layer.2.layer_norm"]
    expected = {f"decoder.block.1.{part}.weight" for part in parts}
    assert set(names) == expected | {"decoder.final_layer_norm.weight", "lm_head.weight"}


def test_cross_attention_by_query_and_key_leaves_its_values_out():
    """The QK reading says nothing about V of the last cross-attention."""
    names = probe(student(), "decoder.cross", kinds=("query", "key"))
    assert "decoder.block.1.layer.1.EncDecAttention.v.weight" in names
    assert "decoder.block.1.layer.1.EncDecAttention.k.weight" not in names


@KINDS
def test_the_last_position_bias_is_unreached_in_umt5_alone(kind):
    """umT5 has a bias per layer, and relations carry none: only a probe sees this."""
    names = probe(student(kind), "decoder.self,encoder.self")
    assert any("decoder.block.1" in name and "relative_attention_bias" in name for name in names) == (kind == "umt5")


def test_a_tied_head_is_reached_through_the_embedding():
    """One parameter, one name: freezing the head would freeze the embedding."""
    names = probe(student(tied=True), "decoder.self")
    assert not {"shared.weight", "lm_head.weight"} & set(names)


def test_a_gradient_of_zero_is_not_an_unreached_parameter():
    """A term that is at its minimum on the probe's batch would otherwise be switched off for good."""
    model = student()
    assert unreached_parameters(model, lambda: forward(model).loss * 0.0) == []


def test_the_probe_leaves_no_gradient_behind():
    """The first step would add the probe's gradient to its own."""
    model = student()
    forward(model).loss.backward()
    unreached_parameters(model, lambda: forward(model).loss)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_frozen_parameters_are_not_reported_again():
    """A resumed run probes a second time; its card must be the first one's."""
    model = student()
    names = probe(model, "decoder.self")
    freeze(model, names)
    assert {name for name, parameter in model.named_parameters() if not parameter.requires_grad} == set(names)
    with pytest.raises(KeyError):
        freeze(model, ["no.such.weight"])


def test_a_student_whose_encoder_learns_nothing_is_refused():
    """With one decoder layer, decoder self-attention alone never looks at the encoder; its loss falls all the same."""
    shallow, deep, family = student(size="2E1D64H"), student(), FAMILIES["t5"]
    with pytest.raises(ConfigurationError, match="encoder no gradient at all"):
        require_gradient_of_what_is_read(trained(probe(shallow, "decoder.self")), shallow, family)
    require_gradient_of_what_is_read(trained(probe(shallow, "decoder.self,encoder.self")), shallow, family)
    require_gradient_of_what_is_read(trained(probe(deep, "decoder.self")), deep, family)


def trained(names):
    """The student's parameters as they are named among all that is trained."""
    return [f"student.{name}" for name in names]


@KINDS
def test_the_summary_names_blocks_and_whole_sublayers(kind):
    """Fifty parameter names in a model card are read by nobody."""
    model = student(kind)
    lines = summarise_unreached(trained(probe(model, "decoder.self")), family_of(model))
    bias = ", relative_attention_bias" if kind == "umt5" else ""
    assert lines == [
        f"decoder block 1: self-attention o{bias}; whole cross-attention; whole feed-forward",
        "decoder final norm",
        "output head",
    ]
    assert summarise_unreached([], family_of(model)) == []


def test_the_summary_reads_encoder_blocks_too():
    """The encoder's second sublayer is its feed-forward, the decoder's its cross-attention."""
    names = ["student.encoder.block.0.layer.1.layer_norm.weight", "student.something.new", "terms.cross.projection"]
    assert summarise_unreached(names, FAMILIES["t5"]) == [
        "encoder block 0: feed-forward layer_norm",
        "something.new",
        "terms.cross.projection",
    ]
