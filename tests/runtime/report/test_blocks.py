"""The two ways in which a report is written."""

from html.parser import HTMLParser

import pytest

from miniend.runtime.report.as_html import as_html
from miniend.runtime.report.as_markdown import as_markdown
from miniend.runtime.report.blocks import (
    Bold,
    Heading,
    Lead,
    Listing,
    Paragraph,
    Picture,
    Table,
    text_of,
    with_best_in_bold,
)


@pytest.fixture
def blocks(tmp_path):
    picture = tmp_path / "bars.png"
    picture.write_bytes(b"PNG")
    return [
        Heading("Students & teachers", 1),
        Lead("Take one, because of 2.", ["first", "second"]),
        Paragraph("a < b"),
        Listing([("date", "today")]),
        Listing([("student", "*no* `mark` <extra_id_0>")], literal=True),
        Table(["row", "value"], [["one|two", "1"], ["three", Bold("2")]]),
        Picture(picture, "bars"),
    ]


def test_markdown_has_one_block_after_the_other_and_pictures_beside_it(blocks):
    assert as_markdown(blocks) == (
        "# Students & teachers\n\n**Take one, because of 2.**\n\n- first\n- second\n\na < b\n\n- date: today\n\n"
        "- student: ``*no* `mark` <extra_id_0>``\n\n"
        "| row | value |\n| --- | ---: |\n| one\\|two | 1 |\n| three | **2** |\n\n"
        "![bars](bars.png)\n\nbars\n"
    )


def test_html_needs_no_other_file_and_closes_what_it_opens(blocks):
    class Reader(HTMLParser):
        def __init__(self):
            super().__init__()
            self.open, self.cells, self.sources = [], [], []

        def handle_starttag(self, tag, attributes):
            if tag not in ("meta", "img"):
                self.open.append(tag)
            self.sources += [value for name, value in attributes if name == "src"]

        def handle_endtag(self, tag):
            assert self.open.pop() == tag

        def handle_data(self, data):
            if self.open and self.open[-1] in ("td", "th", "p", "title", "li", "dt", "dd", "b"):
                self.cells.append(data)

    reader = Reader()
    reader.feed(as_html(blocks))
    assert reader.open == []
    assert reader.cells == [
        *("Students & teachers", "Take one, because of 2.", "first", "second", "a < b", "date", "today"),
        *("student", "*no* `mark` <extra_id_0>", "row", "value", "one|two", "1", "three", "2"),
    ]
    assert reader.sources == ["data:image/png;base64,UE5H"]


def test_a_page_fits_a_phone_and_the_dark(blocks):
    """Wide tables scroll in a box of their own; pictures and boxes take the width that there is."""
    page = as_html(blocks)
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in page
    assert page.count('<div class="scroll"') == page.count("<table>") == 1
    assert "prefers-color-scheme: dark" in page
    assert "http" not in page


def test_pictures_that_follow_each_other_share_a_box(tmp_path):
    (tmp_path / "one.png").write_bytes(b"PNG")
    one = Picture(tmp_path / "one.png", "one")
    page = as_html([one, one, Paragraph("between"), one])
    assert page.count('<div class="gallery">') == 2


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", "a\n</table>", "\x1b[2J", '"><img src=x>'])
def test_texts_of_strangers_are_only_text(text):
    blocks = [Heading(text, 1), Lead(text, [text]), Listing([(text, text)]), Listing([(text, text)], True)]
    page = as_html([*blocks, Table([text, text], [[text, Bold(text)]])])
    for mark in ("<script", "\x1b", "\n</table>", "<img"):
        assert mark not in page.replace("</tr>\n</table>", "")


def test_the_best_of_a_column_is_bold_with_its_equals_and_where_less_is_better():
    rows = [["a", "3.0", "1"], ["b", "3.0", "2"], ["c", "1.0", "-"]]
    numbers = [[None, 3.0, 1.0], [None, 3.0, 2.0], [None, 1.0, None]]
    bold = with_best_in_bold(rows, numbers, [False, False, True])
    assert [[isinstance(cell, Bold) for cell in row] for row in bold] == [
        [False, True, True],
        [False, True, False],
        [False, False, False],
    ]
    assert [[text_of(cell) for cell in row] for row in bold] == rows


@pytest.mark.parametrize("numbers", [[5.0, None], [5.0, 5.0], [None, None]])
def test_without_a_worse_one_nothing_is_the_best(numbers):
    bold = with_best_in_bold([["1"], ["2"]], [[one] for one in numbers], [False])
    assert bold == [["1"], ["2"]]
