"""The English of README.md and docs/: short sentences without idioms."""

from statistics import median

import pytest

from support.idioms import offences_of_file
from support.pages import name_of, written
from support.sentences import CODE, sentences, words

LONGEST, MEDIAN = 30, 16


@pytest.mark.parametrize("page", written(), ids=name_of)
def test_sentences_are_short(page):
    """A sentence of forty words must be read twice, and half of the readers have another mother tongue."""
    found = sentences(page.read_text(encoding="utf-8"))
    assert len(found) > 5
    assert [one for one in found if words(one) > LONGEST] == []
    assert median(map(words, found)) <= MEDIAN


@pytest.mark.parametrize("page", written(), ids=name_of)
def test_pages_hold_none_of_the_idioms(page):
    """The list is the one that guards the package."""
    assert [str(offence) for offence in offences_of_file(page, name_of(page))] == []


def test_sentences_are_cut_as_a_reader_would_cut_them():
    """Headings, tables and blocks of code are not sentences; inline code is one word, and a list item is a passage."""
    text = (
        "# A heading\n\nOne sentence, with `some code in it`. A second (see\n[a page](x.md)). `code` starts the third!\n\n"
        "| a | table |\n|---|---|\n| of | words |\n\n```\nno sentence. At all.\n```\n\n- An item\n- Another e.g. this one\n"
    )
    assert sentences(text) == [
        f"One sentence, with {CODE}.",
        "A second (see a page).",
        f"{CODE} starts the third!",
        "An item",
        "Another e.g. this one",
    ]
    assert words(f"Not 3.5 — {CODE}, - twice.") == 4


def test_a_long_sentence_is_found():
    """Thirty-one words are one too many."""
    [one] = sentences(" ".join(["word"] * 31) + ".")
    assert words(one) == 31
