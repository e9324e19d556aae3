"""Rows of text tables: .csv with quotes, and .tsv without quoting, like GLUE's own files."""

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path

from ..errors import CorpusError
from ..runtime.progress import Log
from .long_rows import long_csv_fields, long_tsv_fields
from .long_text import SHORT, Text
from .opening import numbered_lines
from .row import Row, names_in

MALFORMED_SHARE = 0.01
"""The largest share of malformed rows. GLUE's QQP has some, which we skip and count; more are not an accident."""
LOOKED_AT = 10_000
"""The number of rows after which we compare that share again: a large file is refused before its end."""
LONGEST_FIELD = 2**31 - 1
"""The longest field in characters. By default csv would refuse more than 131,072."""

_QUOTED = re.compile(r'"(?:[^"]|"")*""(?:[^"]|"")*"')
"""A field that holds a quote, as writers of .csv quote it."""

Fields = tuple[int, list[Text]]
"""The number of a line, and its fields."""


def tsv_rows(path: Path, headerless: Sequence[str], log: Log) -> Iterator[Row]:
    """Yield every line as a row. A tab ends a field, even inside quotes.

    `headerless` names the columns of a file without a header. The header is missing if the first line has that many fields and
    none of them is one of these names.
    """
    quoted = 0

    def fields() -> Iterator[Fields]:
        nonlocal quoted
        for number, line in numbered_lines(path):
            row = _tsv_fields(line, f"{path}, line {number}")
            quoted += sum(isinstance(field, str) and _QUOTED.fullmatch(field) is not None for field in row)
            if row != [""]:
                yield number, row

    yield from _named(path, fields(), headerless, log)
    if quoted:
        log(
            f"warning: {path} has {quoted:,} fields with doubled quotes inside quotes, as pandas writes them. A .tsv is read "
            "without quoting, like GLUE's own, and the texts keep their quotes; write a .csv or .jsonl, or quoting=csv.QUOTE_NONE"
        )


def _tsv_fields(line: Text, place: str) -> list[Text]:
    if isinstance(line, str):
        return [*line.rstrip("\r\n").split("\t")]
    try:
        return long_tsv_fields(line)
    except ValueError as error:
        raise CorpusError(f"{place} cannot be read as tsv: {error}") from error


def csv_rows(path: Path, headerless: Sequence[str], log: Log) -> Iterator[Row]:
    """Yield the rows of a file with quotes, in which a field may have several lines."""
    csv.field_size_limit(LONGEST_FIELD)
    records = _Records(path)

    def fields() -> Iterator[Fields]:
        try:
            for row in records:
                if row:
                    yield records.line, row
        except (csv.Error, ValueError) as error:
            if isinstance(error, CorpusError):
                raise
            raise CorpusError(f"{path}, line {records.line} cannot be read as csv: {error}") from error

    yield from _named(path, fields(), headerless, log)


class _LongRecordError(Exception):
    """A record has more than SHORT characters."""


class _Records:
    """The records of a .csv, read by csv, or where one is long by `long_csv_fields`."""

    def __init__(self, path: Path) -> None:
        self.line = 0
        """The number of the last line of the latest record."""
        self._lines = self._counted(path)
        self._begun: list[Text] = []

    def __iter__(self) -> Iterator[list[Text]]:
        while True:
            try:
                for row in csv.reader(self._short_lines()):
                    self._begun = []
                    yield [*row]
                return
            except _LongRecordError:
                begun, self._begun = self._begun, []
                yield long_csv_fields(chain(begun, self._lines))

    def _counted(self, path: Path) -> Iterator[Text]:
        for number, line in numbered_lines(path):
            self.line = number
            yield line

    def _short_lines(self) -> Iterator[str]:
        length = 0
        for line in self._lines:
            length = len(line) + (length if self._begun else 0)
            self._begun.append(line)
            if not isinstance(line, str) or length > SHORT:
                raise _LongRecordError
            yield line


def _named(path: Path, lines: Iterable[Fields], headerless: Sequence[str], log: Log) -> Iterator[Row]:
    """Yield the rows below a header. Rows with another number of fields are skipped and counted; many raise CorpusError."""
    names: list[str] = []
    count = malformed = 0
    for number, fields in lines:
        if not names:
            bare = len(headerless) > 0 and len(fields) == len(headerless) and not set(fields) & set(headerless)
            names = _header(path, headerless if bare else fields)
            if not bare:
                continue
        count += 1
        malformed += len(fields) != len(names)
        if count % LOOKED_AT == 0:
            _require_few(path, malformed, count, names)
        if len(fields) == len(names):
            yield Row(zip(names, fields, strict=True), f"{path}, line {number}")
    _require_few(path, malformed, count, names)
    if malformed:
        log(f"{path}: {malformed} of {count} rows have too few or too many fields and are skipped")


def _header(path: Path, fields: Sequence[Text]) -> list[str]:
    """Return the names. Raise CorpusError if two are equal, because one column would hide the other."""
    names = [field for field in fields if isinstance(field, str)]
    if len(names) < len(fields):
        raise CorpusError(
            f"the header of {path} has a name that is too long; write the names of the columns in the first line"
        )
    twice = {name for name in names if name and names.count(name) > 1}
    if twice:
        raise CorpusError(f"the header of {path} names a column twice: {names_in(sorted(twice))}; rename one")
    return names


def _require_few(path: Path, malformed: int, count: int, names: Sequence[str]) -> None:
    if malformed > MALFORMED_SHARE * count:
        raise CorpusError(
            f"{path}: {malformed} of {count} rows do not have as many fields as the header, which has {len(names)}; "
            "write one example per line"
        )
