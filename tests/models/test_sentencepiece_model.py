"""Teachers whose tokenizer is a SentencePiece model only, as T5 v1.1 and mT5 are on the hub."""

import io
import json

import pytest
from sentencepiece import SentencePieceProcessor, SentencePieceTrainer
from transformers import AutoTokenizer

from miniend.errors import CheckpointError
from miniend.models.tokenizer import load_tokenizer
from miniend.teacher_dump.corpus.tokenizer import TextTokenizer
from support.tiny_t5 import tiny_texts

TEXTS = [*tiny_texts(40), "Größe ﬁne ｆｕｌｌ width", "e\u0301 n\u0303o"]
OTHER_TEXTS = [
    *tiny_texts(10, seed=1),
    "",
    " ",
    "  a  b ",
    "ba\tde\r\nfi\n",
    "ｂａ　ﬁ",
    "e\u0301ba \u200bfi",
    "▁ ba▁fi",
    "日本 語 😀 ba",
    "ba <sep>de<sep> fi",
    "A Ba DE",
]
T5_IDS = {"pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1}
MADLAD_IDS = {"unk_id": 0, "bos_id": 1, "eos_id": 2, "pad_id": -1}
SMALL = {"vocab_size": 120, "hard_vocab_limit": False, "minloglevel": 2}
SETTINGS = {
    "t5": {},
    "identity": {"normalization_rule_name": "identity"},
    "case folding": {"normalization_rule_name": "nfkc_cf"},
    "spaces kept": {"remove_extra_whitespaces": False, "normalization_rule_name": "identity"},
    "no prefix": {"add_dummy_prefix": False},
    "byte fallback": {"byte_fallback": True, "character_coverage": 0.98, "vocab_size": 400, "hard_vocab_limit": False},
    "user's symbols": {"user_defined_symbols": ["<sep>"]},
    "bpe": {"model_type": "bpe", "hard_vocab_limit": True},
    "bpe with bytes": {
        "model_type": "bpe",
        "byte_fallback": True,
        "character_coverage": 0.98,
        "vocab_size": 400,
        "hard_vocab_limit": False,
    },
    "sentinels inside": {"user_defined_symbols": [f"▁<extra_id_{k}>" for k in (2, 1, 0)]},
}


def write(folder, tokenizer_config=None, **options):
    """A teacher's folder with a small model; return sentencepiece's own reader of it."""
    model = io.BytesIO()
    ids = {} if {"unk_id", "pad_id"} & options.keys() else T5_IDS
    SentencePieceTrainer.train(sentence_iterator=iter(TEXTS), model_writer=model, **(SMALL | ids | options))
    (folder / "spiece.model").write_bytes(model.getvalue())
    (folder / "config.json").write_text(json.dumps({"model_type": "t5"}))
    if tokenizer_config is not None:
        (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer_config))
    return SentencePieceProcessor(model_proto=model.getvalue())


@pytest.mark.parametrize("options", SETTINGS.values(), ids=SETTINGS)
def test_the_ids_are_sentencepieces_own(tmp_path, options):
    """The teacher was trained with sentencepiece; another reading of the same file gives it text it has never seen."""
    own = write(tmp_path, **options)
    texts = [t for t in OTHER_TEXTS if "<sep>" not in t] if options.get("model_type") == "bpe" else OTHER_TEXTS
    tokenizer = TextTokenizer.load(tmp_path)
    assert tokenizer.encoder()(texts) == own.encode(texts)
    decoded = tokenizer.tokenizer.decode(own.encode("ba de fi"))
    assert decoded == "ba de fi"


@pytest.mark.parametrize("ids", [T5_IDS, MADLAD_IDS], ids=["t5", "madlad"])
def test_the_special_ids_are_the_models_own(tmp_path, ids):
    """transformers 5 hard-codes the id 2 for <unk>."""
    own = write(tmp_path, {"pad_token": "<unk>" if ids["pad_id"] < 0 else "<pad>"}, **ids)
    tokenizer = TextTokenizer.load(tmp_path)
    plan = tokenizer.describe(sentinels=True)
    assert (plan.eos_id, plan.pad_id) == (own.eos_id(), max(own.pad_id(), 0))
    assert tokenizer.encoder()(["日"]) == own.encode(["日"])
    assert tokenizer.tokenizer("ba")["input_ids"][-1] == own.eos_id()


def test_sentinels_come_behind_the_model_with_the_first_one_last(tmp_path):
    """This is how T5 was trained; the model file does not have them."""
    size = write(tmp_path).get_piece_size()
    plan = TextTokenizer.load(tmp_path).describe(sentinels=True)
    assert plan.sentinel_ids == tuple(range(size + 99, size - 1, -1))
    write(tmp_path, {"extra_ids": 3})
    assert TextTokenizer.load(tmp_path).describe(sentinels=True).sentinel_ids == (size + 2, size + 1, size)


def test_sentinels_inside_the_model_are_taken_and_none_are_added(tmp_path):
    """mT5's are pieces; a hundred more would be rows that the teacher does not have."""
    own = write(tmp_path, **SETTINGS["sentinels inside"])
    plan = TextTokenizer.load(tmp_path).describe(sentinels=True)
    assert plan.size == own.get_piece_size()
    assert plan.sentinel_ids == tuple(own.piece_to_id(f"▁<extra_id_{k}>") for k in range(3))


def test_added_tokens_keep_the_ids_that_their_file_names(tmp_path):
    """A fine-tuned teacher may have any tokens behind its model, in any order."""
    size = write(tmp_path, {}).get_piece_size()
    (tmp_path / "added_tokens.json").write_text(json.dumps({"<extra_id_0>": size, "<extra_id_1>": size + 1}))
    assert TextTokenizer.load(tmp_path).describe(sentinels=True).sentinel_ids == (size, size + 1)
    (tmp_path / "added_tokens.json").write_text(json.dumps({"<extra_id_0>": size + 7}))
    with pytest.raises(CheckpointError, match="gaps"):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize(
    "options", [{"model_type": "word"}, {"model_type": "char"}, {"treat_whitespace_as_suffix": True}]
)
def test_a_model_that_the_library_cannot_run_is_refused(tmp_path, options):
    """The nearest pipeline would give other ids without a word."""
    write(tmp_path, vocab_size=40, **options)
    with pytest.raises(CheckpointError, match="expected Unigram or BPE"):
        load_tokenizer(tmp_path)


def test_a_student_of_such_a_teacher_reads_the_same_ids(tmp_path):
    """Its folder goes to people who do not have the model file."""
    (tmp_path / "teacher").mkdir()
    (tmp_path / "student").mkdir()
    own = write(tmp_path / "teacher")
    for name, content in TextTokenizer.load(tmp_path / "teacher").run_by_its_file().files.items():
        (tmp_path / "student" / name).write_bytes(content)
    (tmp_path / "student" / "config.json").write_text(json.dumps({"model_type": "t5"}))
    student = AutoTokenizer.from_pretrained(tmp_path / "student")
    assert [student(text)["input_ids"][:-1] for text in OTHER_TEXTS] == own.encode(OTHER_TEXTS)
