"""Corpus files: .txt, .jsonl, .jsonl.gz and .parquet, read as streams of documents.

Plain text does not mark documents, and one document per file would make a single document of a large file. So one or more
blank lines end a document. Every error names the file, and the line or the columns, because corpora are large.
"""

import gzip
import hashlib
import json
import zlib
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import IO, Any

from ...errors import CorpusError
from ...storage.documents.plan import CorpusFile

Document = tuple[str, ...]
ENDINGS = (".txt", ".jsonl", ".jsonl.gz", ".parquet")
PARQUET_ROWS = 1024
"""The number of rows of a parquet file in memory at a time."""


def check_ending(path: Path) -> None:
    """Raise CorpusError for a file of an unknown kind."""
    if not path.name.endswith(ENDINGS):
        raise CorpusError(f"expected a corpus file ending in {', '.join(ENDINGS)}, found {path}")


def describe_file(path: Path) -> CorpusFile:
    """Return name, length and SHA-256 of the file as it is, even if it is compressed."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return CorpusFile(name=path.name, bytes=path.stat().st_size, sha256=digest)


def read_file(path: Path, fields: tuple[str, ...]) -> Iterator[Document]:
    """Yield the documents of one file in file order, blank ones included. Raises CorpusError for a file that cannot be read."""
    check_ending(path)
    try:
        yield from _read(path, fields)
    except UnicodeDecodeError as error:
        raise CorpusError(
            f"expected UTF-8 text in {path}, found another encoding ({error.reason}); convert it"
        ) from error
    except (OSError, EOFError, zlib.error) as error:
        raise CorpusError(f"the corpus file {path} cannot be read to its end: {error}; fetch it again") from error


def _read(path: Path, fields: tuple[str, ...]) -> Iterator[Document]:
    if path.name.endswith(".parquet"):
        yield from _parquet(path, fields)
        return
    with _open_text(path) as lines:
        yield from _paragraphs(lines) if path.name.endswith(".txt") else _json_lines(lines, path, fields)


def _open_text(path: Path) -> IO[str]:
    if path.name.endswith(".gz"):
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="\n")
    return path.open(encoding="utf-8-sig")


def _paragraphs(lines: IO[str]) -> Iterator[Document]:
    """Yield the runs of lines that are not blank."""
    for blank, group in groupby(lines, key=lambda line: not line.strip()):
        if not blank:
            yield ("".join(group),)


def _json_lines(lines: IO[str], path: Path, fields: tuple[str, ...]) -> Iterator[Document]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        place = f"{path}, line {number}"
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise CorpusError(
                f"expected one JSON object per line, found {line[:40]!r} in {place}: {error.msg}"
            ) from error
        if not isinstance(record, dict):
            raise CorpusError(f"expected a JSON object with the field {fields[0]!r}, found {line[:40]!r} in {place}")
        yield pick_fields(record, fields, place)


def _parquet(path: Path, fields: tuple[str, ...]) -> Iterator[Document]:
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            names = file.schema_arrow.names
            pick_fields(dict.fromkeys(names), fields, str(path))
            for batch in file.iter_batches(batch_size=PARQUET_ROWS, columns=list(dict.fromkeys(fields))):
                for record in batch.to_pylist():
                    yield pick_fields(record, fields, str(path))
    except pyarrow.ArrowException as error:
        raise CorpusError(f"the corpus file {path} cannot be read as parquet: {error}; fetch it again") from error


def pick_fields(record: Mapping[str, Any], fields: tuple[str, ...], place: str) -> Document:
    """Return the texts of the named fields. A null counts as empty text, so the document is dropped later.

    JSON can spell half of a surrogate pair, which is not a character and which tokenizers refuse; it becomes a question mark.
    Raises CorpusError for a missing field and for a value that is not text.
    """
    for field in fields:
        if field not in record:
            raise CorpusError(
                f"no field {field!r} in {place}; its fields are {', '.join(map(repr, record))}: "
                "pass --field, which applies to every --corpus"
            )
        if not isinstance(record[field], str | None):
            type_name = type(record[field]).__name__
            raise CorpusError(
                f"expected text in field {field!r} of {place}, found a value of type {type_name}; use another field"
            )
    return tuple((record[field] or "").encode(errors="replace").decode() for field in fields)
