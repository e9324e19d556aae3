"""The sentences of a Markdown page, without its headings, tables and code: what the tests of its English count."""

import re
from collections.abc import Iterator
from itertools import pairwise

from markdown_it import MarkdownIt
from markdown_it.token import Token

CODE = "CODE"
"""Inline code counts as one word."""
_END = re.compile(r"(?<=[.!?])[)\"'*]*\s+(?=[\"'(*]*[A-Z0-9])")
_ABBREVIATION = re.compile(r"\b(?:al|e\.g|i\.e)\.$")
_WORD = re.compile(r"\w")


def sentences(markdown: str) -> list[str]:
    """Return the sentences of paragraphs and list items, in order."""
    return [one for passage in _passages(markdown) for one in _cut(passage)]


def words(sentence: str) -> int:
    """Return the number of words."""
    return sum(bool(_WORD.search(one)) for one in sentence.split())


def _passages(markdown: str) -> Iterator[str]:
    """Yield the text of every paragraph that is not in a table."""
    tokens = MarkdownIt().enable("table").parse(markdown)
    for before, token in pairwise(tokens):
        if before.type == "paragraph_open" and token.type == "inline":
            yield "".join(_text(one) for one in token.children or ())


def _text(token: Token) -> str:
    if token.type == "code_inline":
        return CODE
    if token.type in ("softbreak", "hardbreak"):
        return " "
    return token.content if token.type == "text" else ""


def _cut(passage: str) -> Iterator[str]:
    """Yield the sentences of a passage; an abbreviation does not end one."""
    open_ = ""
    for piece in _END.split(passage):
        open_ = f"{open_} {piece}".strip()
        if not _ABBREVIATION.search(open_):
            yield open_
            open_ = ""
    if open_:
        yield open_
