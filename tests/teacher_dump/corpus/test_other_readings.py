"""Differences between the teacher's own tokenizer file and what others make of it, found by reading text of the corpus."""

import errno
import json
import os
import shutil

import pytest
from transformers import AutoTokenizer

import miniend
from miniend.teacher_dump.config import DumpConfig
from miniend.teacher_dump.corpus import other_readings as readings
from miniend.teacher_dump.corpus.mixture import parse_mixture
from miniend.teacher_dump.corpus.other_readings import other_readings
from miniend.teacher_dump.corpus.tokenizer import TextTokenizer
from miniend.teacher_dump.dump import dump_teacher
from support.tiny_t5 import build_tiny_t5, tiny_texts, write_texts
from support.tiny_tokenizer import build_tiny_tokenizer

TEXTS = tiny_texts(12)


@pytest.fixture
def teacher(tmp_path):
    build_tiny_tokenizer(TEXTS, 200, sentinels=8, folder=tmp_path)
    return tmp_path


def readings_of(teacher, texts):
    corpus = write_texts(teacher / "corpus.jsonl", texts)
    mixture = parse_mixture(DumpConfig(teacher="t", corpus=str(corpus), cache="c", examples=3))
    return other_readings(teacher, None, TextTokenizer.load(teacher), mixture)


def warnings_of(teacher, texts):
    return list(readings_of(teacher, texts).lines)


def test_nothing_is_said_where_the_class_reads_the_same(teacher):
    """A warning on every dump teaches people to ignore warnings. Text that spells special tokens does not count."""
    assert warnings_of(teacher, [*TEXTS, "</s> and <extra_id_3>", "日本"]) == []


def test_a_class_that_gives_other_ids_is_named_with_counts(teacher):
    """Whoever compares a student with its teacher in transformers sees other ids, and should know why."""
    path = teacher / "tokenizer.json"
    described = json.loads(path.read_text()) | {"normalizer": {"type": "Lowercase"}}
    path.write_text(json.dumps(described))
    [line] = warnings_of(teacher, [text.upper() for text in TEXTS] + ["ba"])
    assert "transformers' T5Tokenizer gives 12 of 13 texts" in line
    assert "the file 0)" in line


def test_a_sentencepiece_model_beside_another_file_is_compared_too(teacher, tmp_path_factory):
    """Two files of one folder may be of two trainings."""
    from sentencepiece import SentencePieceTrainer

    model = tmp_path_factory.mktemp("spm") / "m"
    SentencePieceTrainer.train(sentence_iterator=iter(TEXTS), model_prefix=str(model), vocab_size=60, minloglevel=2)
    shutil.copy(f"{model}.model", teacher / "spiece.model")
    assert [line for line in warnings_of(teacher, TEXTS) if "sentencepiece with spiece.model gives 12 of 12" in line]


def test_a_new_dump_says_it_once(tmp_path):
    """The warning is for whoever begins; a run that goes on has nothing left to decide."""
    folder = build_tiny_t5(tmp_path / "t5", build_tiny_tokenizer(TEXTS, 200, sentinels=8), layers=(1, 1))
    described = json.loads((folder / "tokenizer.json").read_text()) | {"normalizer": {"type": "Lowercase"}}
    (folder / "tokenizer.json").write_text(json.dumps(described))
    corpus = write_texts(tmp_path / "corpus.jsonl", [text.title() for text in TEXTS])
    config = DumpConfig(
        teacher=str(folder),
        corpus=str(corpus),
        cache=tmp_path / "cache",
        examples=3,
        validation_examples=1,
        input_length=40,
        signals="none",
    )
    runs = [[], []]
    for lines in runs:
        dump_teacher(config, lines.append)
    assert [sum("transformers' T5Tokenizer gives" in line for line in lines) for lines in runs] == [1, 0]
    files = tmp_path / "cache" / "plan" / "tokenizer"
    [example] = miniend.open_cache(tmp_path / "cache").validation
    own = AutoTokenizer.from_pretrained(files)
    text = own.decode(example.input_ids, skip_special_tokens=True)
    assert text
    assert own(text.upper())["input_ids"] == own(text)["input_ids"], "the file's own normalizer runs in every student"


def test_a_corpus_in_which_all_readings_agree_does_not_hide_that_the_class_loses_the_normalizer(teacher):
    """The corpus was in lower case, so students got the class, and users' texts in upper case got other ids."""
    path = teacher / "tokenizer.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"normalizer": {"type": "Lowercase"}}))
    assert warnings_of(teacher, TEXTS) == []
    assert not readings_of(teacher, TEXTS).by_class


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.EMFILE])
def test_files_that_cannot_be_read_at_the_moment_are_not_taken_for_a_class_that_nobody_can_use(
    teacher, monkeypatch, number
):
    """A cache kept other files of the tokenizer for that, and the next worker's plan was another."""

    def refused(*_arguments):
        raise OSError(number, os.strerror(number), str(teacher))

    monkeypatch.setattr(readings, "class_tokenizer", refused)
    with pytest.raises(OSError) as caught:
        readings_of(teacher, TEXTS)
    assert caught.value.errno == number


def test_a_class_that_cannot_be_loaded_is_not_used(teacher, monkeypatch):
    """transformers' own errors are of the same type, without a number."""

    def refused(*_arguments):
        raise OSError("no such model")

    monkeypatch.setattr(readings, "class_tokenizer", refused)
    assert not readings_of(teacher, TEXTS).by_class


def test_sentinels_that_the_class_numbers_in_its_own_way_are_named(tmp_path):
    """ByT5Tokenizer gives <extra_id_0> the id 259, which no ByT5 was trained with."""
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "ByT5Tokenizer"}))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "t5"}))
    [line] = warnings_of(tmp_path, TEXTS)
    assert "transformers' ByT5Tokenizer gives <extra_id_0> the id 259 instead of 258" in line
    assert not readings_of(tmp_path, TEXTS).by_class


def test_a_class_that_reads_everything_as_the_file_does_is_kept(teacher):
    """Its files stay what they are, byte for byte."""
    assert readings_of(teacher, TEXTS).by_class
