"""Rows of JSON: one object per line (.jsonl), or a whole file that is a list of objects or an object around one (.json)."""

import json
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from ..errors import CorpusError, shortened
from .json_stream import JsonStream
from .large_json import large_json_rows, require_one_list
from .long_text import LongText, Text, beginning_of, is_blank_text, parts_of
from .opening import numbered_lines, open_bytes
from .row import Row, with_whole_characters

WHOLE = 2**22
"""The largest number of bytes of a .json file that is read at once."""


def json_lines(path: Path, columns: Sequence[str] | None) -> Iterator[Row]:
    """Yield the object of every line that is not blank. Of long lines only the named columns are kept."""
    for number, line in _filled(path):
        place = f"{path}, line {number}"
        yield _row(_parsed(line, place) if isinstance(line, str) else _taken_apart(line, place, columns), place, line)


def json_file(path: Path, columns: Sequence[str] | None) -> Iterator[Row]:
    """Yield the objects of a .json file, which may also hold one object per line."""
    first = list(islice(_filled(path), 2))
    if len(first) == 2 and _is_object(first[0][1]):
        yield from json_lines(path, columns)
        return
    with open_bytes(path) as stream:
        content = stream.read(WHOLE + 1)
    if len(content) > WHOLE:
        yield from large_json_rows(path, columns)
        return
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CorpusError(f"expected UTF-8 text in {path}, found another encoding; convert it") from error
    for number, value in enumerate(_list_in(_parsed(text, str(path)), path), start=1):
        yield _row(value, f"{path}, element {number}", value)


def _filled(path: Path) -> Iterator[tuple[int, Text]]:
    return ((number, line) for number, line in numbered_lines(path) if not is_blank_text(line))


def _is_object(line: Text) -> bool:
    try:
        value = json.loads(line) if isinstance(line, str) else JsonStream(parts_of(line), ()).document()
        return isinstance(value, dict)
    except (ValueError, RecursionError):
        return False


def _taken_apart(line: LongText, place: str, columns: Sequence[str] | None) -> Any:
    try:
        return JsonStream(parts_of(line), columns).document()
    except ValueError as error:
        raise CorpusError(f"the JSON value in {place} cannot be read: {shortened(str(error))}") from error


def _list_in(value: Any, path: Path) -> list[Any]:
    """Return the list of objects that a whole file is, or that is the only list of objects in its object, or the one object."""
    if isinstance(value, list):
        return value
    if not isinstance(value, dict):
        raise CorpusError(f"expected JSON objects in {path}, found a value of type {type(value).__name__}")
    lists = {
        name: part for name, part in value.items() if isinstance(part, list) and part and isinstance(part[0], dict)
    }
    require_one_list(path, lists)
    return next(iter(lists.values()), [value])


def _parsed(text: str, place: str) -> Any:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        where = place if ", line " in place else f"{place}, line {error.lineno}"
        raise CorpusError(f"expected a JSON object, found {shortened(text, 40)!r} in {where}: {error.msg}") from error
    except (ValueError, RecursionError) as error:  # thousands of digits, thousands of brackets
        raise CorpusError(f"the JSON value in {place} cannot be read: {shortened(str(error))}") from error
    return with_whole_characters(value) if "\\u" in text else value


def _row(value: Any, place: str, found: Any) -> Row:
    if not isinstance(value, dict):
        text = beginning_of(found, 100) if isinstance(found, LongText) else str(found)
        raise CorpusError(f"expected a JSON object, found {shortened(text, 40)!r} in {place}")
    return Row(value, place)
