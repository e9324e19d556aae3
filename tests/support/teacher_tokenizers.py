"""Teachers' tokenizers in every form in which they are met, as the files that a cache keeps and every student gets."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

from miniend.teacher_dump.corpus.other_readings import other_readings
from miniend.teacher_dump.corpus.tokenizer import TextTokenizer
from support.tiny_t5 import tiny_texts
from support.tiny_tokenizer import build_tiny_tokenizer

TEXTS = tiny_texts(50)
SENTINELS = 10


def kept(folder: Path, model_type: str, texts: list[str] = TEXTS) -> TextTokenizer:
    """The tokenizer of a teacher's folder as a dump keeps it."""
    (folder / "config.json").write_text(json.dumps({"model_type": model_type}))
    tokenizer = TextTokenizer.load(folder)
    corpus = SimpleNamespace(first_documents=lambda count: [[text] for text in texts[:count]])
    readings = other_readings(folder, None, tokenizer, corpus)
    return tokenizer if readings.by_class else tokenizer.run_by_its_file()


def write_version_5(folder: Path, _release: Path) -> None:
    """What transformers 5 saves."""
    build_tiny_tokenizer(TEXTS, 200, sentinels=SENTINELS, folder=folder)


def write_release(folder: Path, release: Path) -> None:
    """What most T5 teachers on the hub have."""
    shutil.copytree(release, folder, dirs_exist_ok=True)


def write_sentencepiece_only(folder: Path, release: Path) -> None:
    """What mT5 and T5 v1.1 have on the hub."""
    shutil.copy(release / "spiece.model", folder)
    config = {"tokenizer_class": "T5Tokenizer", "extra_ids": SENTINELS, "additional_special_tokens": None}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


def write_own_pipeline(folder: Path, release: Path) -> None:
    """A file that writes everything in lower case, under a class of which version 5 keeps the vocabulary only."""
    shutil.copytree(release, folder, dirs_exist_ok=True)
    (folder / "spiece.model").unlink()
    described = Tokenizer.from_file(str(folder / "tokenizer.json"))
    described.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    described.save(str(folder / "tokenizer.json"))


def write_bytes(folder: Path, _release: Path) -> None:
    """ByT5: the vocabulary is the bytes."""
    sentinels = [f"<extra_id_{k}>" for k in range(125)]
    config = {"tokenizer_class": "ByT5Tokenizer", "extra_ids": 125, "additional_special_tokens": sentinels}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


def write_byte_pairs(folder: Path, _release: Path) -> None:
    """CodeT5: a byte-level BPE in two files, whose sentinels are ordinary added tokens."""
    trained = Tokenizer(models.BPE(unk_token="<unk>"))
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    control = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    letters = pre_tokenizers.ByteLevel.alphabet()
    trained.train_from_iterator(
        TEXTS,
        trainers.BpeTrainer(vocab_size=340, special_tokens=control, initial_alphabet=letters, show_progress=False),
    )
    model = json.loads(trained.to_str())["model"]
    vocabulary, size = model["vocab"], len(model["vocab"])
    merges = (" ".join(pair) for pair in model["merges"])
    added = {f"<extra_id_{k}>": size + SENTINELS - 1 - k for k in range(SENTINELS)}
    roles = {
        "bos_token": "<s>",
        "eos_token": "</s>",
        "pad_token": "<pad>",
        "unk_token": "<unk>",
        "mask_token": "<mask>",
    }
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges, ""]))
    (folder / "added_tokens.json").write_text(json.dumps(added))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "RobertaTokenizer", **roles}))


FORMS: dict[str, Callable[[Path, Path], None]] = {
    "release": write_release,
    "version 5": write_version_5,
    "sentencepiece only": write_sentencepiece_only,
    "own pipeline": write_own_pipeline,
    "bytes": write_bytes,
    "byte pairs": write_byte_pairs,
}
"""Form -> what writes a teacher's folder; it is given the files of a release, which only version 4 can write."""
