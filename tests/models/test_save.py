"""Saved students: the folder is the model that plain transformers loads from it, and nothing else."""

import json

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer, PreTrainedTokenizerFast

from miniend.errors import ConfigurationError
from miniend.models.families import family_of
from miniend.models.save import save_student
from support.students import FAMILY_NAMES, fresh, logits, perturb

BOTH = pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
ALL = pytest.mark.parametrize("kind", FAMILY_NAMES)


@pytest.fixture(scope="module")
def tokenizer_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    words = ["<pad>", "</s>", "<unk>", "a", "student", "learns"]
    tokenizer = Tokenizer(models.WordLevel({word: place for place, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>")
    fast.save_pretrained(folder)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@ALL
@BOTH
def test_a_saved_student_is_bit_for_bit_the_one_that_plain_transformers_loads(tmp_path, tokenizer_files, kind, tied):
    """transformers 5 re-ties heads and rescales logits on load; the student that was measured must be the one on disk."""
    model = perturb(fresh(kind, tied))
    save_student(model, tmp_path / "out", tokenizer_files, "# card")
    again = AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "out")
    assert family_of(again).tied(again) == tied
    assert torch.equal(logits(model), logits(again))
    assert AutoTokenizer.from_pretrained(tmp_path / "out")("a student learns").input_ids == [3, 4, 5]
    assert again.config.dropout_rate == 0.1
    assert again.generation_config.decoder_start_token_id == 0
    assert (tmp_path / "out" / "README.md").read_text() == "# card"


@ALL
@BOTH
def test_a_student_used_as_a_teacher_keeps_its_head_scale(tmp_path, kind, tied):
    """A second dump reads tie and scale from config.json; a lie there flattens its logits and stays green elsewhere."""
    model = perturb(fresh(kind, tied))
    save_student(model, tmp_path, {}, "")
    raw = json.loads((tmp_path / "config.json").read_text())
    assert raw["tie_word_embeddings"] == tied
    assert raw["architectures"] == [type(model).__name__]
    assert family_of(model).meant_head_scale(raw, 64) == family_of(model).head_scale(model)
    teacher = AutoModelForSeq2SeqLM.from_pretrained(tmp_path)
    family_of(teacher).restore_head_scale(teacher, raw)
    assert torch.equal(logits(model), logits(teacher))


def test_saving_over_a_student_leaves_only_the_new_one(tmp_path, tokenizer_files):
    """A rest of an earlier, killed save must not survive in the folder."""
    (tmp_path / ".partial").mkdir()
    (tmp_path / ".partial" / "junk").write_text("")
    save_student(fresh("t5", True), tmp_path, tokenizer_files, "old")
    model = perturb(fresh("t5", True))
    save_student(model, tmp_path, tokenizer_files, "new")
    assert torch.equal(logits(model), logits(AutoModelForSeq2SeqLM.from_pretrained(tmp_path)))
    expected = {"model.safetensors", "config.json", "generation_config.json", "README.md", *tokenizer_files}
    assert {path.name for path in tmp_path.iterdir()} == expected


@pytest.mark.parametrize("name", ["../escape.json", "config.json", "model.safetensors"])
def test_tokenizer_files_cannot_leave_the_folder_or_replace_the_model(tmp_path, name):
    """File names come from a cache that somebody else made."""
    with pytest.raises(ConfigurationError, match="plain file name"):
        save_student(fresh("t5", True), tmp_path / "out", {name: b""}, "")
    assert not (tmp_path / "escape.json").exists()
