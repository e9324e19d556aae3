"""The two ways in which a report is written."""

from html.parser import HTMLParser

import pytest

from miniend.recipes.compare.report.blocks import Heading, Paragraph, Picture, Table, as_html, as_markdown


@pytest.fixture
def blocks(tmp_path):
    picture = tmp_path / "bars.png"
    picture.write_bytes(b"PNG")
    return [
        Heading("Students & teachers", 1),
        Paragraph("a < b"),
        Table(["row", "value"], [["one|two", "1"], ["three", "2"]]),
        Picture(picture, "bars"),
    ]


def test_markdown_has_one_block_after_the_other_and_pictures_beside_it(blocks):
    assert as_markdown(blocks) == (
        "# Students & teachers\n\na < b\n\n| row | value |\n| --- | ---: |\n| one\\|two | 1 |\n| three | 2 |\n\n"
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
            if self.open and self.open[-1] in ("td", "th", "p", "title"):
                self.cells.append(data)

    reader = Reader()
    reader.feed(as_html(blocks))
    assert reader.open == []
    assert reader.cells == ["Students & teachers", "a < b", "row", "value", "one|two", "1", "three", "2"]
    assert reader.sources == ["data:image/png;base64,UE5H"]
