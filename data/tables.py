"""Rows of text tables: .csv with quotes, and .tsv without quoting, like GLUE's own files."""

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ..errors import CorpusError
from ..runtime.progress import Log
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

Fields = tuple[int, list[str]]
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
            row = line.rstrip("\r\n").split("\t")
            quoted += sum(_QUOTED.fullmatch(field) is not None for field in row)
            if row != [""]:
                yield number, row

    yield from _named(path, fields(), headerless, log)
    if quoted:
        log(
            f"warning: {path} has {quoted:,} fields with doubled quotes inside quotes, as pandas writes them. A .tsv is read "
            "without quoting, like GLUE's own, and the texts keep their quotes; write a .csv or .jsonl, or quoting=csv.QUOTE_NONE"
        )


def csv_rows(path: Path, headerless: Sequence[str], log: Log) -> Iterator[Row]:
    """Yield the rows of a file with quotes, in which a field may have several lines."""
    csv.field_size_limit(LONGEST_FIELD)
    reader = csv.reader(line for _, line in numbered_lines(path))

    def fields() -> Iterator[Fields]:
        try:
            for row in reader:
                if row:
                    yield reader.line_num, row
        except csv.Error as error:
            raise CorpusError(f"{path}, line {reader.line_num} cannot be read as csv: {error}") from error

    yield from _named(path, fields(), headerless, log)


def _named(path: Path, lines: Iterable[Fields], headerless: Sequence[str], log: Log) -> Iterator[Row]:
    """Yield the rows below a header. Rows with another number of fields are skipped and counted; many raise CorpusError."""
    names: list[str] = []
    count = malformed = 0
    for number, fields in lines:
        if not names:
            bare = len(fields) == len(headerless) and not set(fields) & set(headerless)
            names = _header(path, list(headerless) if headerless and bare else fields)
            if names is fields:
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


def _header(path: Path, names: list[str]) -> list[str]:
    """Return the names. Raise CorpusError if two are equal, because one column would hide the other."""
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
