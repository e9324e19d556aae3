"""Text that is not ours in Markdown: one line, the same number of cells, and nothing that a renderer acts on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from miniend.runtime.markdown import code, one_line, plain, row, table

names = st.text(st.sampled_from("`|\\<>&*_[]()# \n\x1b\u202e\ud800ab"), max_size=10)


def kinds(text):
    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(text)
    return [token.type for parent in tokens for token in (parent, *(parent.children or ()))]


@given(text=st.text() | names)
def test_every_character_of_a_line_can_be_printed_and_ordinary_text_stays(text):
    """ESC writes to the terminal of whoever prints the file, and a line break forges a line."""
    assert one_line(text).isprintable()
    assert one_line(one_line(text)) == one_line(text)
    assert not text.isprintable() or one_line(text) == text


@given(name=names)
def test_a_name_is_a_code_span_and_reads_as_it_is(name):
    """A span that ends early lets the rest of the name be Markdown."""
    span = code(name)
    assert kinds(f"x {span} y") == kinds("x `a` y")
    tokens = MarkdownIt().parse(f"x {span} y")[1].children
    assert tokens[1].content.strip() == one_line(name).strip()


@given(cells=st.lists(names.map(code) | names.map(plain), min_size=3, max_size=3))
def test_a_row_has_as_many_cells_as_it_was_given(cells):
    """A bar in a name moves every number to the next column."""
    text = table(("a", "b", "c"), [cells])
    found = kinds(text)
    assert found.count("td_open") == 3
    assert found.count("tr_open") == 2
    assert not {"html_inline", "html_block"} & set(found)
    assert row(cells) in text


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", "a\n<b>", "&lt;", "x < y & z"])
def test_plain_text_is_not_html(text):
    """A report is opened in a browser."""
    assert "html_inline" not in kinds(plain(text))
    assert "html_block" not in kinds(plain(text))
