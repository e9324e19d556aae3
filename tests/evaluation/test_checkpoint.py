"""The checkpoint that is evaluated: its tokens, what tells it from others, and what is refused."""

import json
import shutil

import pytest
import torch

from miniend.errors import CheckpointError
from miniend.evaluation import checkpoint as module
from miniend.evaluation.checkpoint import load_checkpoint
from support.tiny_t5 import build_tiny_t5, tiny_texts
from support.tiny_tokenizer import build_tiny_tokenizer


@pytest.fixture(scope="module")
def checkpoint(model_folder):
    return load_checkpoint(str(model_folder))


def test_a_tokenizer_that_does_not_fit_is_refused(tmp_path, tokenizer):
    """An id beyond the embedding would crash in the middle of a training."""
    folder = build_tiny_t5(tmp_path / "model", tokenizer, layers=(1, 1))
    build_tiny_tokenizer(tiny_texts(30), len(tokenizer) + 50, sentinels=8).save_pretrained(folder)
    with pytest.raises(CheckpointError, match=r"350 entries, but the model has only 304 rows"):
        load_checkpoint(str(folder))


def test_a_tokenizer_that_cannot_be_read_is_refused(tmp_path, tokenizer):
    """One clear line with the model's name."""
    folder = build_tiny_t5(tmp_path / "model", tokenizer, layers=(1, 1))
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"no tokenizer can be loaded from .*model"):
        load_checkpoint(str(folder))


def test_the_digest_tells_models_apart(tmp_path, tokenizer, checkpoint):
    """Two students in one output directory would be mixed."""
    other, same = (build_tiny_t5(tmp_path / str(seed), tokenizer, layers=(1, 1), seed=seed) for seed in (1, 0))
    assert load_checkpoint(str(other)).digest() != checkpoint.digest()
    again = load_checkpoint(str(same))
    assert again.digest() == checkpoint.digest()
    again.model.decoder.final_layer_norm.weight.data[0] += 1e-6
    assert again.digest() != checkpoint.digest()


def test_the_digest_tells_tokenizers_apart(tmp_path, model_folder, checkpoint):
    """The same weights under other words are another model."""
    folder = shutil.copytree(model_folder, tmp_path / "model")
    build_tiny_tokenizer(tiny_texts(30, seed=5), len(checkpoint.tokenizer), sentinels=8).save_pretrained(folder)
    assert load_checkpoint(str(folder)).digest() != checkpoint.digest()


def test_texts_are_encoded_without_special_tokens(checkpoint, monkeypatch):
    """In parts, each cut where it is asked to be, and nothing of a text is an end or padding."""
    texts = ["lovely film", "great </s> fine", "awful <pad> dull", "", *tiny_texts(3)]
    whole = [checkpoint.tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
    expected = [[token for token in row if token not in (0, 1)] for row in whole]
    assert len(expected[1]) < len(whole[1])
    monkeypatch.setattr(module, "ENCODED_AT_ONCE", 2)
    assert checkpoint.encode(texts) == expected
    assert checkpoint.encode(texts, 3) == [row[:3] for row in expected]


def test_a_checkpoint_is_ready_to_be_evaluated(tmp_path, model_folder):
    """float32 on the CPU, dropout off, padded on the right, whatever its files say."""
    folder = shutil.copytree(model_folder, tmp_path / "model")
    for name, changed in (("config.json", {"dtype": "bfloat16"}), ("tokenizer_config.json", {"padding_side": "left"})):
        (folder / name).write_text(json.dumps(json.loads((folder / name).read_text()) | changed))
    checkpoint = load_checkpoint(str(folder))
    assert not checkpoint.model.training
    assert {p.dtype for p in checkpoint.model.parameters()} == {torch.float32}
    assert checkpoint.tokenizer.padding_side == "right"


def test_a_full_vocabulary_is_accepted(tmp_path, tokenizer):
    """A head without spare rows has one for each entry."""
    folder = build_tiny_t5(tmp_path / "model", tokenizer, layers=(1, 1), spare_rows=0)
    assert load_checkpoint(str(folder)).model.lm_head.weight.shape[0] == len(tokenizer)


@pytest.mark.parametrize("tied", [True, False])
def test_a_umt5_scales_its_output_as_its_author_says(tmp_path, tokenizer, tied):
    """transformers sets the tie, and with it the scale, on every load; summaries of another scale are another model's."""
    folder = build_tiny_t5(tmp_path / "model", tokenizer, model_type="umt5", tied=tied, layers=(1, 1))
    assert load_checkpoint(str(folder)).model.config.tie_word_embeddings is tied


@pytest.mark.parametrize("name", ["eos_token", "pad_token"])
def test_a_tokenizer_without_end_or_padding_is_refused(tmp_path, model_folder, name):
    """Examples could not be told from what pads them."""
    folder = shutil.copytree(model_folder, tmp_path / "model")
    path = folder / "tokenizer_config.json"
    plain = {"tokenizer_class": "PreTrainedTokenizerFast", name: None}  # T5's own does not load without an end
    path.write_text(json.dumps(json.loads(path.read_text()) | plain))
    with pytest.raises(CheckpointError, match="lacks an EOS or a padding token"):
        load_checkpoint(str(folder))
