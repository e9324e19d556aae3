"""A model in memory is, to everything that loads it, what the folder is that it came from."""

import pytest
import torch
import transformers

from miniend.errors import CheckpointError, ConfigurationError
from miniend.models.families import family_of
from miniend.models.lent import config_meaning, lent, lent_model, true_name
from miniend.models.pretrained import load_pretrained, read_raw_config, tensor_digest
from support.tiny_t5 import CLASSES, build_tiny_t5, tiny_texts
from support.tiny_tokenizer import build_tiny_tokenizer

KINDS = [("t5", True, False), ("t5", False, True), ("mt5", False, False), ("umt5", False, False)]


@pytest.fixture(scope="module")
def tokenizer():
    return build_tiny_tokenizer(tiny_texts(40), 80, sentinels=8)


@pytest.fixture
def folder(tokenizer, tmp_path):
    return build_tiny_t5(tmp_path / "own-t5", tokenizer, layers=(1, 1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("kind", "tied", "v11"), KINDS)
def test_a_model_in_memory_loads_as_its_folder(tokenizer, tmp_path, kind, tied, v11, dtype):
    """Weights, configuration and the scale of the head, which transformers gets wrong for umT5."""
    folder = build_tiny_t5(tmp_path / "teacher", tokenizer, kind, tied, v11, layers=(1, 2))
    model = getattr(transformers, CLASSES[kind][1]).from_pretrained(folder)
    theirs, raw = load_pretrained(folder, dtype)
    with lent(model, tokenizer) as path:
        ours, own_raw = load_pretrained(path, dtype)
        assert (path.name, true_name(path), lent_model(path)) == ("teacher", str(folder), model)
        assert {file.name for file in path.iterdir() if file.suffix == ".safetensors"} == set()
    assert tensor_digest(ours.state_dict()) == tensor_digest(theirs.state_dict())
    assert own_raw == raw
    for one in (ours, theirs):
        family_of(one).restore_head_scale(one, raw)
    assert family_of(ours).facts(ours) == family_of(theirs).facts(theirs)
    assert lent_model(path) is None


def test_the_weights_of_a_model_in_memory_are_not_copied(folder):
    """A teacher of many gigabytes must fit once, not twice."""
    model = transformers.T5ForConditionalGeneration.from_pretrained(folder)
    with lent(model) as path:
        loaded, _ = load_pretrained(path, torch.float32)
    assert loaded.shared.weight.data_ptr() == model.shared.weight.data_ptr()


def test_the_files_of_the_tokenizer_are_those_of_its_folder_byte_for_byte(folder):
    """transformers would write them in its own form, and students would carry that."""
    model = transformers.T5ForConditionalGeneration.from_pretrained(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    for given in (tokenizer, None):
        with lent(model, given) as path:
            assert (path / "tokenizer.json").read_bytes() == (folder / "tokenizer.json").read_bytes()
    tokenizer.add_tokens(["strange"])
    with lent(model, tokenizer) as path:
        assert "strange" in (path / "tokenizer.json").read_text()


def test_a_config_means_the_same_with_and_without_its_defaults(folder):
    """An author leaves them out, transformers writes them down; another activation is another model."""
    raw, model = read_raw_config(folder), transformers.T5ForConditionalGeneration.from_pretrained(folder)
    assert raw != model.config.to_dict()
    assert config_meaning(raw) == config_meaning(model.config.to_dict())
    assert config_meaning(raw) != config_meaning({**raw, "feed_forward_proj": "gated-gelu"})
    assert config_meaning(raw) != config_meaning({**raw, "layer_norm_epsilon": 1e-3})


def test_another_object_is_refused_in_one_line(folder):
    """A T5Model does not have a head, and a word is not a tokenizer."""
    body = transformers.T5Model(
        transformers.T5Config(d_model=8, d_kv=4, num_heads=2, d_ff=8, vocab_size=16, num_layers=1)
    )
    with pytest.raises(CheckpointError, match="found a T5Model"), lent(body):
        pass
    model = transformers.T5ForConditionalGeneration.from_pretrained(folder)
    with (
        pytest.raises(ConfigurationError, match="expected a tokenizer of transformers, found a str"),
        lent(model, "t5"),
    ):
        pass


@pytest.mark.parametrize("kind", ["T5ForConditionalGeneration", "T5EncoderModel"])
def test_the_hub_is_not_asked_for_a_model_that_was_made_in_memory(tokenizer, kind, monkeypatch):
    """It once was, for a model called "model", which took a minute without the internet."""
    asked = []

    def asking(*names, **_more):
        asked.append(names)
        raise OSError("the hub was asked")

    monkeypatch.setattr("transformers.utils.hub.hf_hub_download", asking)
    shape = {"d_model": 32, "d_kv": 8, "num_heads": 4, "d_ff": 64, "num_layers": 1, "decoder_start_token_id": 0}
    model = getattr(transformers, kind)(transformers.T5Config(vocab_size=len(tokenizer), **shape))
    for own in (tokenizer, None):
        with lent(model, own) as path:
            assert (path.name, true_name(path)) == ("model", "model")
            read_raw_config(path)
    assert asked == []
