"""Write a report of headings, paragraphs, tables and pictures as Markdown or as one self-contained HTML file."""

import base64
import html
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ....errors import one_line
from ....runtime.markdown import plain, row

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 76rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; margin: 1rem 0; font-size: 13px; }
th, td { padding: .25rem .6rem; border-bottom: 1px solid #ddd; text-align: right; }
th:first-child, td:first-child { text-align: left; }
th { border-bottom: 2px solid #999; }
img { max-width: 100%; }
"""


@dataclass(frozen=True, slots=True)
class Heading:
    """A title; the report's own has level 1."""

    text: str
    level: int = 2


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Plain text."""

    text: str


@dataclass(frozen=True, slots=True)
class Table:
    """A header and rows of plain text. All rows are as long as the header."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Picture:
    """A .png file in the report's folder."""

    path: Path
    caption: str


Block = Heading | Paragraph | Table | Picture


def as_markdown(blocks: Sequence[Block]) -> str:
    """Return Markdown; its pictures are files in the same folder."""
    return "\n\n".join(_markdown(block) for block in blocks) + "\n"


def _markdown(block: Block) -> str:
    match block:
        case Heading(text, level):
            return f"{'#' * level} {plain(text)}"
        case Paragraph(text):
            return plain(text)
        case Picture(path, caption):
            return f"![{plain(caption)}]({path.name})\n\n{plain(caption)}"
        case Table(header, rows):
            lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
            return "\n".join(row(map(plain, line)) for line in lines)


def _escaped(text: str) -> str:
    """Return one line of text in which HTML means nothing."""
    return html.escape(one_line(text))


def as_html(blocks: Sequence[Block]) -> str:
    """Return one HTML file with the pictures inside."""
    title = next((block.text for block in blocks if isinstance(block, Heading)), "")
    head = f'<meta charset="utf-8">\n<title>{_escaped(title)}</title>\n<style>{STYLE}</style>'
    body = "\n".join(line for block in blocks for line in _html(block))
    return f'<!doctype html>\n<html lang="en">\n<head>\n{head}\n</head>\n<body>\n{body}\n</body>\n</html>\n'


def _html(block: Block) -> Iterator[str]:
    match block:
        case Heading(text, level):
            yield f"<h{level}>{_escaped(text)}</h{level}>"
        case Paragraph(text):
            yield f"<p>{_escaped(text)}</p>"
        case Picture(path, caption):
            data = base64.b64encode(path.read_bytes()).decode()
            yield f'<figure><img alt="{_escaped(caption)}" src="data:image/png;base64,{data}">'
            yield f"<figcaption>{_escaped(caption)}</figcaption></figure>"
        case Table(header, rows):
            yield "<table>"
            yield _line("th", header)
            yield from (_line("td", row) for row in rows)
            yield "</table>"


def _line(tag: str, cells: Sequence[str]) -> str:
    return "<tr>" + "".join(f"<{tag}>{_escaped(cell)}</{tag}>" for cell in cells) + "</tr>"
