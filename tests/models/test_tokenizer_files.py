"""The files of a tokenizer are those of the teacher's folder, byte for byte, and nothing else."""

import json
import shutil

import pytest
from transformers.models.auto.tokenization_auto import TOKENIZER_MAPPING_NAMES

from miniend.errors import CheckpointError
from miniend.models.families import FAMILIES
from miniend.models.tokenizer import load_tokenizer
from miniend.models.tokenizer_files import (
    TOKENIZER_FILES,
    saved_by_version_5,
    strangers,
    tokenizer_files,
    tokenizer_from_files,
)
from support.tiny_tokenizer import build_tiny_mt5_tokenizer, build_tiny_tokenizer

TEXTS = ["the cat sat on the mat, and the dog looked at the cat", "Größe ▁"]
BUILDERS = {"t5": build_tiny_tokenizer, "mt5": build_tiny_mt5_tokenizer, "umt5": build_tiny_tokenizer}


@pytest.fixture(params=BUILDERS)
def folder(request, tmp_path):
    """A teacher's folder, with the files of an older release and others that do not belong to a tokenizer."""
    BUILDERS[request.param](TEXTS, 200, sentinels=8, folder=tmp_path)
    (tmp_path / "spiece.model").write_bytes(b"\x0a\x05 of sentencepiece")
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config, indent=7))
    for other in ("config.json", "run.json", "tokenizer.py", ".bashrc", "model.safetensors"):
        (tmp_path / other).write_text(json.dumps({"model_type": request.param}))
    return tmp_path


def test_the_files_are_carried_over_byte_for_byte_and_no_other_is(folder):
    """What transformers 5 saves anew, version 4 cannot open, and spiece.model would be lost."""
    files = tokenizer_files(folder)
    assert set(files) == {"tokenizer.json", "tokenizer_config.json", "spiece.model"}
    assert files == {name: (folder / name).read_bytes() for name in files}


def test_the_files_of_a_name_on_the_hub_are_those_of_its_revision(folder, tmp_path_factory, monkeypatch):
    """`google/mt5-small` at the pinned commit, from the local cache where the hub cannot be asked."""
    hub = tmp_path_factory.mktemp("hub")
    for commit, marker in (("a" * 40, b"old"), ("b" * 40, b"new")):
        snapshot = hub / "models--owner--name" / "snapshots" / commit
        shutil.copytree(folder, snapshot)
        (snapshot / "spiece.model").write_bytes(marker)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(hub))
    for commit, marker in (("a" * 40, b"old"), ("b" * 40, b"new")):
        assert tokenizer_files("owner/name", commit) == tokenizer_files(folder) | {"spiece.model": marker}


@pytest.mark.parametrize("kind", BUILDERS)
@pytest.mark.parametrize("configured", [True, False])
def test_a_tokenizer_loaded_from_its_files_is_the_same(tmp_path, kind, configured):
    """Students train from the files in the cache, the teacher's folder being gone. t5-base does not have a tokenizer_config."""
    BUILDERS[kind](TEXTS, 200, sentinels=8, folder=tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind}))
    if not configured:
        (tmp_path / "tokenizer_config.json").unlink()
    tokenizer = load_tokenizer(tmp_path)
    again = tokenizer_from_files(tokenizer_files(tmp_path), kind)
    assert again(TEXTS)["input_ids"] == tokenizer(TEXTS)["input_ids"]
    assert again.get_vocab() == tokenizer.get_vocab()


@pytest.mark.parametrize("name", ["../evil.json", "/tmp/evil.json", "config.json", "tokenizer/tokenizer.json"])
def test_no_other_file_is_written_to_load_a_tokenizer(name):
    """A cache from somebody else must not write anywhere it likes."""
    assert strangers([name, "tokenizer.json"]) == [name]
    with pytest.raises(ValueError, match="expected the names"):
        tokenizer_from_files({name: b"{}"}, "t5")


def test_files_that_are_not_a_tokenizer_are_one_line():
    """A damaged file must not end in a page of transformers'."""
    with pytest.raises(CheckpointError) as caught:
        tokenizer_from_files({"tokenizer.json": b"{", "tokenizer_config.json": b"["}, "t5")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_list_has_every_file_that_the_tokenizers_of_the_family_write(family):
    """A name that transformers adds would be dropped silently."""
    import transformers

    class_name = TOKENIZER_MAPPING_NAMES[FAMILIES[family].model_type]
    assert set(getattr(transformers, class_name).vocab_files_names.values()) <= set(TOKENIZER_FILES)


@pytest.mark.parametrize(
    ("config", "new"),
    [
        (b'{"extra_special_tokens": ["<a>"]}', True),
        (b'{"extra_special_tokens": {}}', False),
        (b'{"additional_special_tokens": ["<a>"]}', False),
        (b"[]", False),
        (b"{", False),
    ],
)
def test_a_tokenizer_that_version_5_saved_is_known_by_the_form_of_its_special_tokens(config, new):
    """The card tells users of version 4 what to do."""
    assert saved_by_version_5({"tokenizer_config.json": config}) == new
    assert not saved_by_version_5({})
