"""Documents of plain text. A .txt file does not mark them, so we look at its form.

Where blank lines occur they end a document. A file without one among its first lines has one document per line: as one
document, a large file could not be held out in part.
"""

from collections.abc import Iterator
from itertools import groupby, islice
from pathlib import Path

from .long_text import Text, is_blank_text, parts_of, written
from .opening import numbered_lines

LOOKED_AT = 1000
"""The number of lines that decide."""


def has_line_documents(path: Path) -> bool:
    """Return whether each line of a file is a document: none of its first lines is blank, and it has several."""
    filled = [not is_blank_text(line) for _, line in islice(numbered_lines(path), LOOKED_AT)]
    text = "".join("x" if one else " " for one in filled).strip()
    return len(text) > 1 and " " not in text


def text_documents(path: Path, by_line: bool) -> Iterator[Text]:
    """Yield the lines that are not blank, or the runs of such lines."""
    lines = (_with_plain_end(line) for _, line in numbered_lines(path))
    if by_line:
        yield from (line for line in lines if not is_blank_text(line))
        return
    for blank, group in groupby(lines, key=is_blank_text):
        if not blank:
            yield written(part for line in group for part in parts_of(line))


def _with_plain_end(line: Text) -> Text:
    """Return the line with a line feed where it ends in a carriage return and a line feed."""
    if isinstance(line, str):
        return line.removesuffix("\r\n") + "\n" if line.endswith("\r\n") else line
    return written(_plain_parts(line))


def _plain_parts(line: Text) -> Iterator[str]:
    held = ""
    for part in parts_of(line):
        held += part
        yield held[:-2]
        held = held[-2:]
    yield held.replace("\r\n", "\n")
