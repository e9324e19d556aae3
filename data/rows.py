"""The one reader of files with columns: every command reads a user's rows here, whatever the ending.

Either a file is read to its end, or one CorpusError names the file, and the line or row.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from ..errors import CorpusError
from ..runtime.progress import Log, silent
from .arrow_rows import arrow_rows, parquet_rows
from .fasta import fasta_rows
from .json_rows import json_file, json_lines
from .opening import plain_name
from .row import Row
from .tables import csv_rows, tsv_rows

TEXT = ".txt"
FASTA = (".fasta", ".fa", ".faa")
"""The endings of files of protein sequences; each may be followed by .gz or .zst."""
TABLES = (".jsonl", ".json", ".csv", ".tsv")
"""The endings of text files with columns; each may be followed by .gz or .zst."""
COLUMNAR = (".parquet", ".arrow")
"""The endings of files that are compressed inside."""
READABLE = ", ".join((TEXT, *TABLES, *FASTA, *COLUMNAR)) + "; all but the last two also with .gz or .zst"
"""What can be read, for messages."""


def ending_of(path: Path) -> str | None:
    """Return the ending that says how a file is read, without that of a compression; None for a file of another kind."""
    name = plain_name(path)
    found = next((ending for ending in (TEXT, *TABLES, *FASTA) if name.endswith(ending)), None)
    return found or next((ending for ending in COLUMNAR if path.name.lower().endswith(ending)), None)


def read_rows(
    path: Path, columns: Sequence[str] | None = None, headerless: Sequence[str] = (), log: Log = silent
) -> Iterator[Row]:
    """Yield the rows of a file with columns, in its order; `log` gets a line if some are skipped.

    `columns` names the only columns that are needed; others may be missing, or None. A text that is too long for memory is a
    `LongText`. `headerless` names the columns of a
    .tsv without a header. Raises CorpusError for a file that cannot be read, and for one of another kind.
    """
    match ending_of(path):
        case ".jsonl":
            yield from json_lines(path, columns)
        case ".json":
            yield from json_file(path, columns)
        case ".csv":
            yield from csv_rows(path, (), log)
        case ".tsv":
            yield from tsv_rows(path, headerless, log)
        case ending if ending in FASTA:
            yield from fasta_rows(path)
        case ".parquet":
            yield from parquet_rows(path, columns)
        case ".arrow":
            yield from arrow_rows(path, columns)
        case _:
            raise CorpusError(f"expected a file with columns ({', '.join((*TABLES, *FASTA, *COLUMNAR))}), found {path}")
