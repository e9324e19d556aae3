"""Facts of the family: what config.json meant, against what transformers makes of it."""

import math

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

from miniend.errors import CheckpointError
from miniend.models.families.t5 import (
    facts_of,
    head_scale,
    is_tied,
    model_type_of,
    parameter_counts,
    restore_head_scale,
    scales_decoder_output,
    shift_right,
    shrink_tied_embedding,
    untie_head,
)

MODELS = {
    "t5": (T5Config, T5ForConditionalGeneration),
    "mt5": (MT5Config, MT5ForConditionalGeneration),
    "umt5": (UMT5Config, UMT5ForConditionalGeneration),
}


def fresh(kind, **changed):
    torch.manual_seed(0)
    config_class, model_class = MODELS[kind]
    shape = {"vocab_size": 300, "d_model": 64, "d_kv": 8, "num_heads": 4, "d_ff": 64, "num_layers": 1}
    return model_class(config_class(**shape, num_decoder_layers=2, decoder_start_token_id=0, **changed)).eval()


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        ({"model_type": "t5"}, "t5"),
        ({"model_type": "umt5", "architectures": ["Whatever"]}, "umt5"),
        ({"architectures": ["T5ForConditionalGeneration"]}, "t5"),
        ({"architectures": ["T5WithLMHeadModel"]}, "t5"),
        ({"architectures": ["MT5Model"]}, "mt5"),
    ],
)
def test_the_family_member_is_read_from_type_or_architecture(config, kind):
    """Old checkpoints name no model_type, some an architecture of a former transformers."""
    assert model_type_of(config) == kind


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"model_type": "bert", "architectures": ["T5ForConditionalGeneration"]},
        {"model_type": "longt5"},
        {"architectures": ["LongT5ForConditionalGeneration"]},
        {"architectures": ["BartForConditionalGeneration"]},
        {"architectures": []},
    ],
)
def test_everything_else_is_refused_by_name(config):
    """A relative with other attention would load with random parts."""
    with pytest.raises(CheckpointError, match="supported are t5, mt5, umt5") as refused:
        model_type_of(config)
    assert str(config.get("model_type")) in str(refused.value)


@pytest.mark.parametrize(
    ("config", "scaled"),
    [
        ({"model_type": "t5"}, True),
        ({"model_type": "t5", "tie_word_embeddings": True}, True),
        ({"model_type": "t5", "tie_word_embeddings": False}, False),
        ({"model_type": "t5", "tie_word_embeddings": False, "scale_decoder_outputs": True}, True),
        ({"model_type": "t5", "tie_word_embeddings": True, "scale_decoder_outputs": False}, False),
        ({"model_type": "mt5", "tie_word_embeddings": True}, False),
        ({"model_type": "umt5", "tie_word_embeddings": False}, False),
        ({"model_type": "umt5", "tie_word_embeddings": True}, True),
    ],
)
def test_whether_the_head_is_scaled_is_what_config_json_says(config, scaled):
    """The flattened logits of an untied umT5 look like those of any unsure model."""
    assert scales_decoder_output(config) is scaled


def test_transformers_still_ties_and_scales_behind_the_authors_back():
    """The reason for this room; should this ever fail, transformers has mended it and much here can go."""
    for kind in MODELS:
        assert is_tied(fresh(kind, tie_word_embeddings=False))
    assert fresh("umt5", tie_word_embeddings=False).config.tie_word_embeddings is True


@pytest.mark.parametrize(("raw", "expected"), [(False, 1.0), (True, 64**-0.5)])
def test_an_untied_umt5_gets_its_scale_back(raw, expected):
    """By the forward's own logits, not by what the config claims."""
    model = fresh("umt5")
    untie_head(model)
    restore_head_scale(model, {"model_type": "umt5", "tie_word_embeddings": raw})
    ids = torch.arange(3, 10)[None]
    with torch.no_grad():
        out = model(input_ids=ids, decoder_input_ids=ids, use_cache=False, output_hidden_states=True)
    states = out.decoder_hidden_states[-1]
    assert torch.allclose(out.logits, expected * states @ model.lm_head.weight.T, atol=1e-4)
    assert head_scale(model) == pytest.approx(expected)


@pytest.mark.parametrize("kind", ["t5", "mt5"])
def test_the_others_are_left_alone(kind):
    """They load right."""
    model = fresh(kind)
    before = dict(model.config.to_dict())
    restore_head_scale(model, {"model_type": kind, "tie_word_embeddings": False})
    assert model.config.to_dict() == before


def test_facts_are_those_of_the_model():
    """Losses and caches are built on these numbers alone."""
    facts = facts_of(fresh("t5"))
    assert (facts.inner, facts.d_model, facts.heads, facts.d_kv, facts.vocab_rows) == (32, 64, 4, 8, 300)
    assert (facts.encoder_layers, facts.decoder_layers, facts.tied, facts.head_scale) == (1, 2, True, 0.125)
    model = fresh("mt5")
    untie_head(model)
    assert (facts_of(model).tied, facts_of(model).head_scale) == (False, 1.0)


def test_the_parameters_of_t5_base_are_the_known_ones():
    """222.9 million, 24.7 million of them embeddings."""
    with torch.device("meta"):
        config = T5Config(vocab_size=32128, d_model=768, d_kv=64, num_heads=12, d_ff=3072, num_layers=12)
        model = T5ForConditionalGeneration(config)
    assert parameter_counts(model) == (222_903_552, 222_903_552 - 32128 * 768)


@pytest.mark.parametrize(("tied", "matrices"), [(True, 1), (False, 2)])
def test_an_untied_head_is_an_embedding_too(tied, matrices):
    """Vocabulary rows say nothing of a model's depth; a tied matrix counts once."""
    model = fresh("t5")
    if not tied:
        untie_head(model)
    total, without = parameter_counts(model)
    assert total - without == matrices * 300 * 64
    body = [p.numel() for name, p in model.named_parameters() if name not in ("shared.weight", "lm_head.weight")]
    assert without == sum(body)


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("tied", [True, False])
def test_a_fresh_model_starts_near_ln_v(kind, tied):
    """transformers' own start is many nats off, which the first thousand steps are spent on."""
    model = fresh(kind)
    (shrink_tied_embedding if tied else untie_head)(model)
    assert is_tied(model) is tied
    ids = torch.randint(3, 300, (4, 20), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        loss = model(input_ids=ids, labels=ids).loss
    assert abs(float(loss) - math.log(300)) < 1


def test_decoder_inputs_are_the_labels_one_later():
    """Without the shift the decoder reads the answer, and every loss is wonderful."""
    labels = torch.tensor([[5, 6, 1], [7, 1, -100], [-100, -100, -100]])
    assert shift_right(labels, 9, 0).tolist() == [[9, 5, 6], [9, 7, 1], [9, 0, 0]]
    assert torch.equal(shift_right(labels, 0, 0), T5ForConditionalGeneration._shift_right(fresh("t5"), labels))
