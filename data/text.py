"""Documents of plain text. A .txt file does not mark them, so we look at its form.

Where blank lines occur they end a document. A file without one among its first lines has one document per line: as one
document, a large file could not be held out in part.
"""

from collections.abc import Iterator
from itertools import groupby, islice
from pathlib import Path

from .opening import numbered_lines

LOOKED_AT = 1000
"""The number of lines that decide."""


def has_line_documents(path: Path) -> bool:
    """Return whether each line of a file is a document: none of its first lines is blank, and it has several."""
    filled = [bool(line.strip()) for _, line in islice(numbered_lines(path), LOOKED_AT)]
    text = "".join("x" if one else " " for one in filled).strip()
    return len(text) > 1 and " " not in text


def text_documents(path: Path) -> Iterator[str]:
    """Yield the lines that are not blank, or the runs of such lines."""
    lines = (line.removesuffix("\r\n") + "\n" if line.endswith("\r\n") else line for _, line in numbered_lines(path))
    if has_line_documents(path):
        yield from (line for line in lines if line.strip())
        return
    for blank, group in groupby(lines, key=lambda line: not line.strip()):
        if not blank:
            yield "".join(group)
