"""Rows of a .json file that is too large to be read at once: a list of objects, or an object around one.

The file is read one element after another. Which member of an object is the list, only a reading of the whole file tells.
"""

import codecs
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from ..errors import CorpusError, shortened
from .json_stream import JsonStream
from .opening import LINE_PART, open_bytes
from .row import Row


def large_json_rows(path: Path, columns: Sequence[str] | None) -> Iterator[Row]:
    """Yield the objects of a .json file in its order. Of each only the named columns are kept where it is long."""
    with _opened(path, columns) as stream:
        kind = stream.peek()
        if kind == "[":
            yield from _rows(path, stream)
            return
        chosen = None if kind != "{" else _only_list(path, stream)
    with _opened(path, columns) as stream:
        if kind != "{" or chosen is None:
            value = stream.document()
            if not isinstance(value, dict):
                raise CorpusError(f"expected JSON objects in {path}, found a value of type {type(value).__name__}")
            yield Row(value, f"{path}, element 1")
            return
        for number, _ in enumerate(stream.members()):
            if number == chosen:
                yield from _rows(path, stream, inside=True)
            else:
                stream.value(keep=False)


def require_one_list(path: Path, names: Collection[str]) -> None:
    """Raise CorpusError if several members of an object are lists of objects."""
    if len(names) > 1:
        raise CorpusError(
            f"expected one list of objects in {path}, found {', '.join(map(repr, names))}; write one object per line (.jsonl)"
        )


def _only_list(path: Path, stream: JsonStream) -> int | None:
    """Return the number of the only member that is a list of objects, or None. Of equal names the last one counts."""
    lists: dict[str, int | None] = {}
    for number, name in enumerate(stream.members()):
        lists[name] = number if stream.begins_list_of_objects() else None
        stream.value(keep=False)
    stream.end()
    found = {name: number for name, number in lists.items() if number is not None}
    require_one_list(path, found)
    return next(iter(found.values()), None)


def _rows(path: Path, stream: JsonStream, inside: bool = False) -> Iterator[Row]:
    for number, value in enumerate(stream.elements(), start=1):
        if not isinstance(value, dict):
            raise CorpusError(f"expected a JSON object, found {shortened(repr(value), 40)} in {path}, element {number}")
        yield Row(value, f"{path}, element {number}")
    if not inside:
        stream.end()


@contextmanager
def _opened(path: Path, columns: Sequence[str] | None) -> Iterator[JsonStream]:
    with open_bytes(path) as file:
        stream = JsonStream(_parts(path, file), columns)
        try:
            yield stream
        except CorpusError:
            raise
        except ValueError as error:
            raise CorpusError(
                f"the JSON value in {path}, line {stream.line} cannot be read: {shortened(str(error))}"
            ) from error


def _parts(path: Path, file: IO[bytes]) -> Iterator[str]:
    decoder, line, data = codecs.getincrementaldecoder("utf-8-sig")(), 1, b"more"
    while data:
        data = file.read(LINE_PART)
        try:
            yield decoder.decode(data, final=not data)
        except UnicodeDecodeError as error:
            line += error.object.count(b"\n", 0, error.start)
            raise CorpusError(
                f"expected UTF-8 text in {path}, line {line}, found another encoding; convert it"
            ) from error
        line += data.count(b"\n")
