"""Saved students: the folder is the model that plain transformers loads from it, and nothing else."""

import json
import os
import stat

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer, PreTrainedTokenizerFast

from miniend.errors import ConfigurationError
from miniend.models.families import family_of
from miniend.models.save import save_student
from miniend.student_train.run.checkpoint import save_checkpoint
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


STRANGE = [
    "../escape.json", "config.json", "model.safetensors", "run.json", "adapter_config.json", "modeling.py", ".bashrc",
    "README.md",
]  # fmt: skip


@pytest.mark.parametrize("name", STRANGE)
def test_a_student_gets_no_other_file_than_those_of_a_tokenizer(tmp_path, name):
    """File names come from a cache that somebody else made: run.json is the run's own record, a .py file is a program."""
    with pytest.raises(ConfigurationError, match="expected the files of a tokenizer"):
        save_student(fresh("t5", True), tmp_path / "out", {"tokenizer.json": b"{}", name: b""}, "")
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o007, 0o660), (0o077, 0o600)])
def test_the_mode_of_every_file_is_the_one_that_umask_gives(tmp_path, tokenizer_files, umask, mode):
    """safetensors writes 0600, which colleagues and containers cannot read, and umask 077 must still keep others out."""
    before = os.umask(umask)
    try:
        save_student(fresh("t5", True), tmp_path / "out", tokenizer_files, "card")
        save_checkpoint(tmp_path / "checkpoints", 1, {"weight": torch.ones(3)}, {})
    finally:
        os.umask(before)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.name for path in files} > {"model.safetensors", "state.safetensors", "README.md"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {mode}
