"""The fields of a line or record of a text table that is longer than memory, by the rules of .tsv and of Python's csv."""

import re
from collections.abc import Iterable, Iterator

from .long_text import LongText, Text, TextWriter, parts_of

MOST_FIELDS = 2**14
"""The largest number of fields of a long line."""
_UNQUOTED, _QUOTED = re.compile(r"[^,\r\n]*+"), re.compile(r'[^"]*+')
_BEGIN, _INSIDE, _IN_QUOTES, _AFTER_QUOTE, _ENDED = range(5)
"""Where a reader is in a record: before a field, inside one, between quotes, after a quote between quotes, after the end."""


class _Fields:
    """The fields of a row, of which the latest is being written."""

    def __init__(self) -> None:
        self._done: list[Text] = []
        self._writer = TextWriter()

    def write(self, part: str) -> None:
        self._writer.write(part)

    def next(self) -> None:
        """End a field. Raises ValueError for too many."""
        if len(self._done) == MOST_FIELDS:
            raise ValueError(f"a long line has more than {MOST_FIELDS:,} fields")
        self._done.append(self._writer.text())
        self._writer = TextWriter()

    def all(self) -> list[Text]:
        """Return them, the latest included."""
        return [*self._done, self._writer.text()]


def long_tsv_fields(line: LongText) -> list[Text]:
    """Return what is between the tabs of a line, without its end. Raises ValueError for too many fields."""
    fields = _Fields()
    for part in _without_end(line):
        first, *others = part.split("\t")
        fields.write(first)
        for other in others:
            fields.next()
            fields.write(other)
    return fields.all()


def _without_end(line: LongText) -> Iterator[str]:
    held = ""
    for part in parts_of(line):
        text = held + part
        kept = text.rstrip("\r\n")
        yield kept
        held = text[len(kept) :]


def long_csv_fields(lines: Iterable[Text]) -> list[Text]:
    """Return the fields of the record that starts at the next line, as csv.reader does; take no line after it.

    Raises ValueError for a record that csv refuses, and for too many fields.
    """
    fields, state = _Fields(), _BEGIN
    for line in lines:
        for part in parts_of(line):
            at = 0
            while at < len(part):
                state, at = _step(state, part, at, fields)
        if state != _IN_QUOTES:
            break
    return fields.all()


def _step(state: int, part: str, at: int, fields: _Fields) -> tuple[int, int]:
    """Read some characters; return the new state and place."""
    if state in (_INSIDE, _IN_QUOTES):
        found = (_UNQUOTED if state == _INSIDE else _QUOTED).match(part, at)
        assert found is not None
        fields.write(found[0])
        if found.end() == len(part):
            return state, len(part)
        at = found.end()
        if state == _IN_QUOTES:
            return _AFTER_QUOTE, at + 1
    character = part[at]
    if state == _ENDED and character not in "\r\n":
        raise ValueError("new-line character seen in unquoted field")
    if character in "\r\n":
        return _ENDED, at + 1
    if character == ",":
        fields.next()
        return _BEGIN, at + 1
    if character == '"':  # the first one opens quotes, and one after a quote stands for itself
        fields.write('"' if state == _AFTER_QUOTE else "")
        return _IN_QUOTES, at + 1
    return _INSIDE, at
