"""Rows of a FASTA file: a header `>ID DESCRIPTION`, then the sequence in lines of any length.

A row has `id`, `description` and `text`, the sequence in one piece, with its letters as they are. Lines whose first
letter is `;` are comments, as in the oldest files.
"""

from collections.abc import Iterator
from pathlib import Path

from ..errors import CorpusError, shortened
from .long_text import Text, TextWriter, is_blank_text, parts_of
from .opening import numbered_lines
from .row import Row

LONGEST_HEADER = 2**16
"""The largest number of characters of a header."""


def fasta_rows(path: Path) -> Iterator[Row]:
    """Yield the sequences of a file. Raises CorpusError for text before the first header, and for a header without end."""
    header, writer = None, TextWriter()
    for number, line in numbered_lines(path):
        first = next(parts_of(line), "")[:1]
        if first == ">":
            if header is not None:
                yield _row(*header, writer.text())
            header, writer = (_header(line, f"{path}, line {number}"), f"{path}, line {number}"), TextWriter()
        elif first != ";" and not is_blank_text(line):
            if header is None:
                raise CorpusError(
                    f"expected a header such as >P12345 at the beginning of {path}, found line {number}: "
                    f"{shortened(next(parts_of(line)), 40)!r}; a text with a sequence per line is a .txt file"
                )
            for part in parts_of(line):
                writer.write("".join(part.split()))
    if header is not None:
        yield _row(*header, writer.text())


def _header(line: Text, place: str) -> str:
    if len(line) > LONGEST_HEADER:
        raise CorpusError(
            f"the header in {place} has {len(line):,} characters, expected at most {LONGEST_HEADER:,}; cut it"
        )
    return str(line).removeprefix(">").strip()


def _row(header: str, place: str, sequence: Text) -> Row:
    name, _, description = header.partition(" ")
    return Row({"id": name, "description": description.strip(), "text": sequence}, place)
