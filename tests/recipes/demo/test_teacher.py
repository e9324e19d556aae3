"""The demo's own teacher: its tokenizer reads text in the same way for everybody."""

import json

import pytest
from tokenizers import Tokenizer

from miniend.models.tokenizer import class_tokenizer
from miniend.recipes.demo import teacher
from miniend.teacher_dump.corpus.tokenizer import TextTokenizer
from support.tiny_t5 import tiny_texts

RULERS = [f"{sign * length} {sign}" for sign in "=-*~" for length in range(3, 120)]
"""Rows of one sign have many equally probable splits, so the last bit of a score decides."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The demo's tokenizer, from less text."""
    folder = tmp_path_factory.mktemp("teacher")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(teacher, "VOCABULARY", 400)
        teacher.make_tokenizer(folder, [*tiny_texts(60), *RULERS])
    return folder


def test_transformers_class_and_the_file_give_the_demos_texts_the_same_ids(folder):
    """The demo warned a newcomer that 8 of 64 texts get other ids."""
    texts = [*tiny_texts(60), *RULERS]
    ours = TextTokenizer.load(folder).encoder()(texts)
    assert class_tokenizer(folder)(texts, add_special_tokens=False)["input_ids"] == ours


def test_the_scores_survive_that_they_are_read(folder):
    """Scores of 17 digits came back with another last bit."""
    read = json.loads(Tokenizer.from_file(str(folder / "tokenizer.json")).to_str())
    assert read["model"] == json.loads((folder / "tokenizer.json").read_text())["model"]
