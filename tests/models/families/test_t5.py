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

from miniend.models.families import FAMILIES, family_of, parameter_counts
from miniend.models.families.t5 import shift_right

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
    ("config", "scaled"),
    [
        ({"model_type": "t5"}, True),
        ({"model_type": "t5", "tie_word_embeddings": True}, True),
        ({"model_type": "t5", "tie_word_embeddings": False}, False),
        ({"model_type": "t5", "tie_word_embeddings": False, "scale_decoder_outputs": True}, True),
        ({"model_type": "t5", "tie_word_embeddings": True, "scale_decoder_outputs": False}, False),
        ({"model_type": "mt5", "tie_word_embeddings": True, "transformers_version": "5.23.0"}, False),
        ({"model_type": "mt5", "tie_word_embeddings": True, "transformers_version": "4.57.1"}, True),
        ({"model_type": "mt5", "tie_word_embeddings": True}, True),
        ({"model_type": "mt5"}, False),
        ({"model_type": "umt5", "tie_word_embeddings": False}, False),
        ({"model_type": "umt5", "tie_word_embeddings": True}, True),
    ],
)
def test_whether_the_head_is_scaled_is_what_config_json_says(config, scaled):
    """The flattened logits of an untied umT5 look like those of any unsure model."""
    family = FAMILIES[config["model_type"]]
    assert family.meant_head_scale(config, 64) == (64**-0.5 if scaled else 1.0)


def test_transformers_still_ties_and_scales_behind_the_authors_back():
    """The reason for this room; should this ever fail, transformers has mended it and much here can go."""
    for kind in MODELS:
        assert FAMILIES[kind].tied(fresh(kind, tie_word_embeddings=False))
    assert fresh("umt5", tie_word_embeddings=False).config.tie_word_embeddings is True


@pytest.mark.parametrize(("raw", "expected"), [(False, 1.0), (True, 64**-0.5)])
def test_an_untied_umt5_gets_its_scale_back(raw, expected):
    """By the forward's own logits, not by what the config claims."""
    model, family = fresh("umt5"), FAMILIES["umt5"]
    family.untie(model)
    family.restore_head_scale(model, {"model_type": "umt5", "tie_word_embeddings": raw})
    ids = torch.arange(3, 10)[None]
    with torch.no_grad():
        out = model(input_ids=ids, decoder_input_ids=ids, use_cache=False, output_hidden_states=True)
    states = out.decoder_hidden_states[-1]
    assert torch.allclose(out.logits, expected * states @ model.lm_head.weight.T, atol=1e-4)
    assert family.head_scale(model) == pytest.approx(expected)


@pytest.mark.parametrize("kind", ["t5", "mt5"])
def test_the_others_are_left_alone(kind):
    """They load right."""
    model = fresh(kind)
    before = dict(model.config.to_dict())
    FAMILIES[kind].restore_head_scale(model, {"model_type": kind, "tie_word_embeddings": False})
    assert model.config.to_dict() == before


def test_facts_are_those_of_the_model():
    """Losses and caches are built on these numbers alone."""
    facts = FAMILIES["t5"].facts(fresh("t5"))
    assert (facts.inner, facts.d_model, facts.heads, facts.d_kv, facts.vocab_rows) == (32, 64, 4, 8, 300)
    assert (facts.encoder_layers, facts.decoder_layers, facts.tied, facts.head_scale) == (1, 2, True, 0.125)
    model, family = fresh("mt5"), FAMILIES["mt5"]
    family.untie(model)
    assert (family.facts(model).tied, family.facts(model).head_scale) == (False, 1.0)


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
        family_of(model).untie(model)
    total, without = parameter_counts(model)
    assert total - without == matrices * 300 * 64
    body = [p.numel() for name, p in model.named_parameters() if name not in ("shared.weight", "lm_head.weight")]
    assert without == sum(body)


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("tied", [True, False])
def test_a_fresh_model_starts_near_ln_v(kind, tied):
    """transformers' own start is many nats off, which the first thousand steps are spent on."""
    model = fresh(kind)
    family = family_of(model)
    (family.shrink_tied_embedding if tied else family.untie)(model)
    assert family.tied(model) is tied
    ids = torch.randint(3, 300, (4, 20), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        loss = model(input_ids=ids, labels=ids).loss
    assert abs(float(loss) - math.log(300)) < 1


def test_decoder_inputs_are_the_labels_one_later():
    """Without the shift the decoder reads the answer, and every loss is wonderful."""
    labels = torch.tensor([[5, 6, 1], [7, 1, -100], [-100, -100, -100]])
    assert shift_right(labels, 9, 0).tolist() == [[9, 5, 6], [9, 7, 1], [9, 0, 0]]
    assert torch.equal(shift_right(labels, 0, 0), T5ForConditionalGeneration._shift_right(fresh("t5"), labels))
