"""Texts of any length: a short one is a str, a long one is kept in a temporary file and read in parts.

A document may be longer than memory. Readers write what they find into a `TextWriter`, and everyone else reads parts. The
temporary file does not have a name, so that nothing is left of it when the process ends, however it ends.
"""

import codecs
import errno
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from ..errors import CorpusError
from ..runtime.temporary import temporary_place
from .row import Row, with_whole_characters

SHORT = 2**22
"""The largest number of characters of a text in memory."""
PART = 2**16
"""The largest number of bytes of a part."""


class _Spool:
    """A temporary file without a name, which is closed with the last object that needs it."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115

    def add(self, text: str) -> None:
        self._file.write(text.encode())

    def read(self) -> Iterator[str]:
        """Yield everything in parts. Several readers do not disturb each other."""
        self._file.flush()
        decoder, place = codecs.getincrementaldecoder("utf-8")(), 0
        while data := os.pread(self._file.fileno(), PART, place):
            place += len(data)
            if part := decoder.decode(data):
                yield part

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            self._file.close()


class LongText:
    """A text of more than `SHORT` characters. It is read as often as one likes, and never changes."""

    def __init__(self, spool: _Spool, length: int, blank: bool) -> None:
        self._spool, self._length, self.blank = spool, length, blank

    def __len__(self) -> int:
        return self._length

    def __str__(self) -> str:
        return "".join(self.parts())

    def parts(self) -> Iterator[str]:
        """Yield the text from its beginning, in order. Raises CorpusError if the disk is full."""
        with _named_errors():
            yield from self._spool.read()


Text = str | LongText


class TextWriter:
    """Takes a text in parts. Only a long one goes to a temporary file."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._length, self._blank = 0, True
        self._spool: _Spool | None = None

    def write(self, part: str) -> None:
        """Add the next part. Raises CorpusError if the temporary file cannot be written."""
        part = with_whole_characters(part)
        self._length += len(part)
        self._blank = self._blank and not part.strip()
        self._parts.append(part)
        if self._length > SHORT:
            self._spill()

    def text(self) -> Text:
        """Return the whole text; nothing may be written afterwards."""
        if self._spool is None:
            return "".join(self._parts)
        return LongText(self._spool, self._length, self._blank)

    def _spill(self) -> None:
        with _named_errors():
            self._spool = self._spool or _Spool()
            self._spool.add("".join(self._parts))
        self._parts = []


def written(parts: Iterable[str]) -> Text:
    """Return the text of these parts."""
    writer = TextWriter()
    for part in parts:
        writer.write(part)
    return writer.text()


@contextmanager
def _named_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        advice = "lower --shuffle-buffer" if error.errno == errno.EMFILE else "set TMPDIR to a folder with more room"
        raise CorpusError(
            f"a document is too long for memory and cannot be kept in {temporary_place()}: "
            f"{error.strerror or error}; {advice}"
        ) from error


def parts_of(text: Text) -> Iterator[str]:
    """Yield a text in parts; a short one is one part."""
    if isinstance(text, LongText):
        yield from text.parts()
    else:
        yield text


def is_blank_text(text: Text) -> bool:
    """Return whether a text holds only white space."""
    return text.blank if isinstance(text, LongText) else not text.strip()


def beginning_of(text: Text, characters: int) -> str:
    """Return the first characters of a text, at most `PART`."""
    return next(parts_of(text), "")[:characters]


def in_memory(row: Row) -> Row:
    """Return a row without long texts, for readers that need each text at once."""
    return Row({name: _in_memory(value) for name, value in row.items()}, row.place)


def _in_memory(value: Any) -> Any:
    if isinstance(value, list):
        return [_in_memory(part) for part in value]
    if isinstance(value, dict):
        return {name: _in_memory(part) for name, part in value.items()}
    return str(value) if isinstance(value, LongText) else value
