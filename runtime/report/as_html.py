"""Write a report as one HTML file that needs nothing else: pictures inside, fonts of the system, light and dark, wide and narrow.

On a phone the page does not scroll sideways. Wide tables scroll in a box of their own, and their first column stays.
"""

import base64
import html
from collections.abc import Iterator, Sequence
from itertools import groupby

from ...errors import one_line
from .blocks import Block, Bold, Cell, Heading, Lead, Listing, Paragraph, Picture, Table, text_of

STYLE = """
:root { color-scheme: light dark;
  --page: #fff; --ink: #1f2328; --soft: #59636e; --line: #d8dee4; --box: #eef5fb; --mark: #0072b2; }
@media (prefers-color-scheme: dark) {
  :root { --page: #14181d; --ink: #e3e8ee; --soft: #9aa6b2; --line: #333c46; --box: #1b2733; --mark: #56b4e9; }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { font: 16px/1.55 system-ui, sans-serif; max-width: 72rem; margin: 0 auto; padding: 1.2rem 1rem 4rem;
  color: var(--ink); background: var(--page); overflow-wrap: break-word; }
p, .lead { max-width: 46rem; }
h1 { font-size: 1.6rem; line-height: 1.25; }
h2 { font-size: 1.2rem; margin: 2.2rem 0 .6rem; }
h3 { font-size: 1rem; margin: 1.4rem 0 .4rem; }
.lead { border-left: .3rem solid var(--mark); background: var(--box); padding: .8rem 1rem; margin: 1rem 0;
  border-radius: .3rem; }
.lead p { margin: 0; font-size: 1.1rem; font-weight: 600; }
.lead ul { margin: .6rem 0 0; padding-left: 1.2rem; }
.scroll { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .7rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th { white-space: normal; vertical-align: bottom; font-weight: 600; color: var(--soft); }
th:first-child, td:first-child { text-align: left; padding-left: 0; position: sticky; left: 0; background: var(--page); }
.gallery { display: flex; flex-wrap: wrap; gap: 1rem; }
figure { margin: 0; flex: 1 1 20rem; max-width: 35rem; }
img { width: 100%; height: auto; background: #fff; border-radius: .3rem; }
figcaption, .small { color: var(--soft); font-size: .875rem; }
dl { display: grid; grid-template-columns: minmax(6rem, max-content) minmax(0, 1fr); gap: .25rem .9rem; max-width: 60rem;
  font-size: .9rem; }
dt { color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; }
dl.literal dd { font-family: ui-monospace, monospace; font-size: .82rem; }
@media (max-width: 40rem) {
  dl { grid-template-columns: minmax(0, 1fr); gap: 0; }
  dd { margin-bottom: .5rem; }
  td:first-child { white-space: normal; min-width: 7rem; }
}
"""


def as_html(blocks: Sequence[Block]) -> str:
    """Return one HTML file with the pictures inside."""
    title = next((block.text for block in blocks if isinstance(block, Heading)), "")
    view = '<meta name="viewport" content="width=device-width, initial-scale=1">'
    head = f'<meta charset="utf-8">\n{view}\n<title>{_escaped(title)}</title>\n<style>{STYLE}</style>'
    body = "\n".join(line for block in _grouped(blocks) for line in block)
    return f'<!doctype html>\n<html lang="en">\n<head>\n{head}\n</head>\n<body>\n{body}\n</body>\n</html>\n'


def _grouped(blocks: Sequence[Block]) -> Iterator[Iterator[str]]:
    """Yield the lines of each block; pictures that follow each other share a box, side by side where there is room."""
    for pictures, some in groupby(blocks, key=lambda block: isinstance(block, Picture)):
        lines = (line for block in some for line in _html(block))
        yield iter(['<div class="gallery">', *lines, "</div>"]) if pictures else lines


def _escaped(text: str) -> str:
    """Return one line of text in which HTML means nothing."""
    return html.escape(one_line(text))


def _html(block: Block) -> Iterator[str]:
    match block:
        case Heading(text, level):
            yield f"<h{level}>{_escaped(text)}</h{level}>"
        case Paragraph(text):
            yield f"<p>{_escaped(text)}</p>"
        case Lead(text, reasons):
            items = "".join(f"<li>{_escaped(one)}</li>" for one in reasons)
            yield f'<div class="lead"><p>{_escaped(text)}</p>{f"<ul>{items}</ul>" if items else ""}</div>'
        case Picture(path, caption):
            data = base64.b64encode(path.read_bytes()).decode()
            yield f'<figure><img alt="{_escaped(caption)}" src="data:image/png;base64,{data}">'
            yield f"<figcaption>{_escaped(caption)}</figcaption></figure>"
        case Listing(entries, literal):
            yield '<dl class="literal">' if literal else "<dl>"
            yield from (f"<dt>{_escaped(name)}</dt><dd>{_escaped(text)}</dd>" for name, text in entries)
            yield "</dl>"
        case Table(header, rows):
            yield '<div class="scroll" tabindex="0"><table>'
            yield _line("th", header)
            yield from (_line("td", row) for row in rows)
            yield "</table></div>"


def _line(tag: str, cells: Sequence[Cell]) -> str:
    return "<tr>" + "".join(f"<{tag}>{_cell(cell)}</{tag}>" for cell in cells) + "</tr>"


def _cell(cell: Cell) -> str:
    text = _escaped(text_of(cell))
    return f"<b>{text}</b>" if isinstance(cell, Bold) else text
