"""Read the rows of a table on disk: .tsv without quoting, like GLUE's own files, .csv and .jsonl."""

import csv
import json
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from ...errors import CorpusError
from ...runtime.progress import Log

Row = dict[str, Any]
MALFORMED_SHARE = 0.01
"""The largest share of malformed rows. GLUE's QQP has some, which we skip and count; more are not an accident."""

LONGEST_FIELD = 2**31 - 1
"""The longest field in characters. By default csv would refuse more than 131,072."""

_QUOTED = re.compile(r'"(?:[^"]|"")*""(?:[^"]|"")*"')
"""A field that holds a quote, as writers of .csv quote it."""


def read_table(path: Path, headerless: Sequence[str], log: Log) -> list[Row]:
    """Return the rows of a file by column name.

    `headerless` names the columns of a .tsv without a header. The header is missing if the first line has that many fields and
    none of them is one of these names. Raises CorpusError for a file that is missing, empty or cannot be read.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            rows = READERS[path.suffix](path, stream, headerless, log)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CorpusError(f"{path} cannot be read: {error}") from error
    if not rows:
        raise CorpusError(
            f"{path}: expected a header line and examples below it, or a JSON object per line; found no rows"
        )
    return rows


def _read_tsv(path: Path, lines: Iterable[str], headerless: Sequence[str], log: Log) -> list[Row]:
    """Read every line as a row. A tab ends a field, even inside quotes."""
    fields = [line.rstrip("\r\n").split("\t") for line in lines]
    fields = [row for row in fields if row != [""]]
    if quoted := sum(_QUOTED.fullmatch(field) is not None for row in fields for field in row):
        log(
            f"warning: {path} has {quoted:,} fields with doubled quotes inside quotes, as pandas writes them. A .tsv is read "
            "without quoting, like GLUE's own, and the texts keep their quotes; write a .csv or .jsonl, or quoting=csv.QUOTE_NONE"
        )
    if fields and headerless and len(fields[0]) == len(headerless) and not set(fields[0]) & set(headerless):
        fields.insert(0, list(headerless))
    return _named(path, fields, log)


def _read_csv(path: Path, lines: Iterable[str], _headerless: Sequence[str], log: Log) -> list[Row]:
    csv.field_size_limit(LONGEST_FIELD)
    return _named(path, [row for row in csv.reader(lines) if row], log)


def _named(path: Path, fields: list[list[str]], log: Log) -> list[Row]:
    """Return the rows below a header. Rows with another number of fields are skipped; many of them raise CorpusError."""
    if not fields:
        return []
    header, body = fields[0], fields[1:]
    whole = [row for row in body if len(row) == len(header)]
    malformed = len(body) - len(whole)
    if malformed > MALFORMED_SHARE * len(body):
        raise CorpusError(
            f"{path}: {malformed} of {len(body)} rows do not have as many fields as the header, which has {len(header)}; "
            "write one example per line"
        )
    if malformed:
        log(f"{path}: {malformed} of {len(body)} rows have too few or too many fields and are skipped")
    return [dict(zip(header, row, strict=True)) for row in whole]


def _read_jsonl(path: Path, lines: Iterable[str], _headerless: Sequence[str], _log: Log) -> list[Row]:
    rows = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise CorpusError(
                f"{path}, line {number} is not JSON ({error}); expected a JSON object per line"
            ) from error
        if not isinstance(row, dict):
            raise CorpusError(f"{path}, line {number} holds a {type(row).__name__}; expected a JSON object per line")
        rows.append(row)
    return rows


READERS: dict[str, Callable[[Path, Iterable[str], Sequence[str], Log], list[Row]]] = {
    ".tsv": _read_tsv,
    ".csv": _read_csv,
    ".jsonl": _read_jsonl,
}
