"""The tokenizer of a checkpoint: its own file decides the ids, whatever class transformers picks."""

import json
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import AutoTokenizer

from miniend.errors import CheckpointError, TeacherError
from miniend.models.tokenizer import class_tokenizer, load_fast_tokenizer, load_tokenizer
from miniend.teacher_dump.corpus.plain_text import UNMATCHABLE
from miniend.teacher_dump.corpus.tokenizer import TextTokenizer

TEXTS = ["The cat sat on the Mat, and THE dog looked at it.", "Größe  ﬁne ｆｕｌｌ\n\tdef f(x): return x_1"] * 3
SENTINELS = [f"<extra_id_{k}>" for k in reversed(range(8))]
CONTROL = ("<pad>", "</s>", "<unk>")
NORMALIZERS = {
    "none": None,
    "lower": normalizers.Lowercase(),
    "nfkc": normalizers.NFKC(),
    "strip accents": normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents()]),
    "bert": normalizers.BertNormalizer(),
    "replace": normalizers.Replace("t", "T"),
    "ascii": normalizers.Replace(Regex("[^ -~]"), ""),
    "prepend": normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]),
}
PRE_TOKENIZERS = {
    "none": None,
    "metaspace": pre_tokenizers.Metaspace(),
    "t5": pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]),
    "bytes": pre_tokenizers.ByteLevel(add_prefix_space=False),
    "digits": pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.Metaspace()]),
    "bert": pre_tokenizers.BertPreTokenizer(),
}
KINDS = {
    "unigram": (models.Unigram, trainers.UnigramTrainer),
    "bytes": (lambda: models.BPE(byte_fallback=True, unk_token="<unk>"), trainers.BpeTrainer),
    "bpe": (lambda: models.BPE(unk_token="<unk>"), trainers.BpeTrainer),
    "wordpiece": (lambda: models.WordPiece(unk_token="<unk>"), trainers.WordPieceTrainer),
    "words": (lambda: models.WordLevel(unk_token="<unk>"), trainers.WordLevelTrainer),
}


@cache
def pipeline(kind, normalizer, pre_tokenizer, order, sentinels):
    """A small pipeline with the text of its tokenizer.json, trained on TEXTS."""
    model, trainer = KINDS[kind]
    tokenizer = Tokenizer(model())
    tokenizer.decoder = decoders.Metaspace()
    for name, part in (("normalizer", NORMALIZERS[normalizer]), ("pre_tokenizer", PRE_TOKENIZERS[pre_tokenizer])):
        if part is not None:
            setattr(tokenizer, name, part)
    unknown = {"unk_token": "<unk>"} if kind == "unigram" else {}
    tokenizer.train_from_iterator(
        TEXTS, trainer(vocab_size=90, special_tokens=list(order), show_progress=False, **unknown)
    )
    special, normalized = sentinels == "special", sentinels == "normalized"
    tokenizer.add_tokens([AddedToken(text, special=special, normalized=normalized) for text in SENTINELS])
    return tokenizer.to_str()


def write(folder, described, class_name="T5Tokenizer", **config):
    """A teacher's folder, without its weights."""
    Path(folder, "tokenizer.json").write_text(described)
    Path(folder, "config.json").write_text(json.dumps({"model_type": "t5"}))
    Path(folder, "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": class_name, **config}))


@settings(max_examples=40)
@given(
    kind=st.sampled_from([*KINDS]),
    normalizer=st.sampled_from([*NORMALIZERS]),
    pre_tokenizer=st.sampled_from([*PRE_TOKENIZERS]),
    order=st.permutations(CONTROL).map(tuple),
    sentinels=st.sampled_from(["special", "ordinary", "normalized"]),
    class_name=st.sampled_from(["T5Tokenizer", "T5TokenizerFast", "RobertaTokenizer", "PreTrainedTokenizerFast"]),
    texts=st.lists(st.one_of(st.sampled_from(TEXTS), st.text(max_size=30)), max_size=4),
)
@example(
    kind="wordpiece",
    normalizer="ascii",  # it removes U+FFFF
    pre_tokenizer="bert",
    order=CONTROL,
    sentinels="normalized",
    class_name="T5Tokenizer",
    texts=TEXTS,
)
def test_the_ids_are_those_of_the_tokenizers_library_for_every_pipeline(
    kind, normalizer, pre_tokenizer, order, sentinels, class_name, texts
):
    """Otherwise a teacher reads text that it never saw in its training, and every number of the cache is wrong.

    The same holds for what a student's folder gives to transformers.
    """
    texts = [text for text in texts if "\uffff" not in text]
    with TemporaryDirectory() as folder, TemporaryDirectory() as student:
        described = pipeline(kind, normalizer, pre_tokenizer, order, sentinels)
        write(folder, described, class_name)
        expected = [row.ids for row in Tokenizer.from_str(described).encode_batch(texts, add_special_tokens=False)]
        text_tokenizer = TextTokenizer.load(folder)
        assert text_tokenizer.encoder()(texts) == expected
        [spelled] = text_tokenizer.encoder()([f"a {SENTINELS[0]}b</s> {UNMATCHABLE}{SENTINELS[1]}"])
        plan = text_tokenizer.describe(sentinels=True)
        assert (plan.pad_id, plan.eos_id) == (order.index("<pad>"), order.index("</s>"))
        assert not {plan.pad_id, plan.eos_id, *plan.sentinel_ids}.intersection(spelled)
        assert plan.sentinel_ids == tuple(Tokenizer.from_str(described).token_to_id(t) for t in reversed(SENTINELS))
        for name, content in text_tokenizer.run_by_its_file().files.items():
            Path(student, name).write_bytes(content)
        Path(student, "config.json").write_text(json.dumps({"model_type": "t5"}))
        kept = AutoTokenizer.from_pretrained(student)
        assert [kept(text, add_special_tokens=False)["input_ids"] for text in texts] == expected
        assert kept("The cat")["input_ids"][-1] == order.index("</s>")


def test_transformers_still_keeps_the_vocabulary_only():
    """The reason for `load_tokenizer`; should this ever fail, transformers reads the whole file and much here can go."""
    described = pipeline("unigram", "lower", "metaspace", CONTROL, "special")
    with TemporaryDirectory() as folder:
        write(folder, described, extra_ids=8)
        expected = Tokenizer.from_str(described).encode("THE CAT", add_special_tokens=False).ids
        assert class_tokenizer(folder)("THE CAT", add_special_tokens=False)["input_ids"] != expected


@pytest.mark.parametrize("order", [("<unk>", "<pad>", "</s>"), ("<pad>", "</s>", "<unk>")])
def test_the_order_of_special_ids_is_that_of_the_file(order, tmp_path):
    """MADLAD-400 has <unk> first, where transformers hard-codes 2."""
    write(tmp_path, pipeline("unigram", "none", "metaspace", order, "special"), pad_token="<unk>")
    tokenizer = TextTokenizer.load(tmp_path)
    assert order.index("<unk>") in tokenizer.encoder()(["日"])[0]
    assert tokenizer.describe(sentinels=True).pad_id == order.index("<unk>")


def test_a_folder_of_vocabulary_and_merges_is_read_by_its_class(tmp_path):
    """CodeT5's files: a byte-level BPE without tokenizer.json, whose sentinels are ordinary added tokens."""
    described = json.loads(pipeline("bpe", "none", "bytes", ("<s>", "<pad>", "</s>", "<unk>", "<mask>"), "ordinary"))
    vocabulary, merges = described["model"]["vocab"], described["model"]["merges"]
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "t5"}))
    (tmp_path / "vocab.json").write_text(json.dumps(vocabulary))
    (tmp_path / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{left} {right}\n" for left, right in merges))
    (tmp_path / "added_tokens.json").write_text(json.dumps({t: len(vocabulary) + k for k, t in enumerate(SENTINELS)}))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "RobertaTokenizer"}))
    tokenizer = TextTokenizer.load(tmp_path)
    assert tokenizer.describe(sentinels=True).sentinel_ids[0] == len(vocabulary) + 7
    expected = [Tokenizer.from_str(json.dumps(described)).encode(text, add_special_tokens=False).ids for text in TEXTS]
    assert tokenizer.encoder()(TEXTS) == expected


@pytest.mark.parametrize("file", ["tokenizer.json", "tokenizer_config.json", "spiece.model"])
@pytest.mark.parametrize(
    "content", [b"", b"{", b"[1]", b"\xff\xfe\x00", b'{"model": {"type": "Unigram", "vocab": []}}']
)
def test_a_broken_file_is_one_line(tmp_path, file, content):
    """A traceback of five libraries does not say which file to restore."""
    if file == "tokenizer_config.json":
        if content.startswith(b'{"'):
            return
        write(tmp_path, pipeline("unigram", "none", "metaspace", CONTROL, "special"))
    (tmp_path / file).write_bytes(content)
    with pytest.raises(CheckpointError) as refused:
        load_tokenizer(tmp_path)
    assert "\n" not in str(refused.value)


def test_a_panic_of_the_tokenizers_library_is_one_line(tmp_path):
    """A broken character map is a panic of Rust, which no `except Exception` sees."""
    described = json.loads(pipeline("unigram", "none", "metaspace", CONTROL, "special"))
    described["normalizer"] = {"type": "Precompiled", "precompiled_charsmap": "AAAA"}
    write(tmp_path, json.dumps(described))
    with pytest.raises(CheckpointError, match="charsmap"):
        load_tokenizer(tmp_path)


def test_a_tokenizer_that_runs_in_python_only_is_refused(tmp_path):
    """A dump runs the `tokenizers` library; the message says what the folder would need."""
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "t5"}))
    (tmp_path / "vocab.json").write_text(json.dumps({"a": 0, "b": 1, "<pad>": 2, "</s>": 3, "<unk>": 4, "|": 5}))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "Wav2Vec2CTCTokenizer"}))
    with pytest.raises(TeacherError, match=r"expected tokenizer.json or spiece.model .* found a Wav2Vec2CTCTokenizer"):
        load_fast_tokenizer(tmp_path)


def test_files_of_a_loaded_tokenizer_load_the_same_one(tmp_path):
    """A cache's tokenizer has no class of its own to fall back to."""
    write(tmp_path, pipeline("wordpiece", "bert", "bert", CONTROL, "ordinary"))
    tokenizer = TextTokenizer.load(tmp_path).run_by_its_file()
    (tmp_path / "again").mkdir()
    for name, content in tokenizer.files.items():
        (tmp_path / "again" / name).write_bytes(content)
    again = TextTokenizer.load(tmp_path / "again")
    assert again.files == tokenizer.files == again.run_by_its_file().files
    assert again.describe(sentinels=True) == tokenizer.describe(sentinels=True)
