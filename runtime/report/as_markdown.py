"""Write a report as Markdown; its pictures are files in the same folder."""

from collections.abc import Sequence

from ..markdown import code, plain, row
from .blocks import Block, Bold, Cell, Heading, Lead, Listing, Paragraph, Picture, Table


def as_markdown(blocks: Sequence[Block]) -> str:
    """Return the report as Markdown."""
    return "\n\n".join(_markdown(block) for block in blocks) + "\n"


def _markdown(block: Block) -> str:
    match block:
        case Heading(text, level):
            return f"{'#' * level} {plain(text)}"
        case Paragraph(text):
            return plain(text)
        case Lead(text, reasons):
            return "\n".join(
                [f"**{plain(text)}**", *(["", *(f"- {plain(one)}" for one in reasons)] if reasons else [])]
            )
        case Picture(path, caption):
            return f"![{plain(caption)}]({path.name})\n\n{plain(caption)}"
        case Listing(entries, literal):
            return "\n".join(f"- {plain(name)}: {(code if literal else plain)(text)}" for name, text in entries)
        case Table(header, rows):
            marks = ["---", *["---:"] * (len(header) - 1)]
            return "\n".join(row(line) for line in (map(plain, header), marks, *(map(_cell, one) for one in rows)))


def _cell(cell: Cell) -> str:
    return f"**{plain(cell.text)}**" if isinstance(cell, Bold) else plain(cell)
