"""Open a user's file, plain or compressed, as bytes or as numbered lines of UTF-8 text.

Everything that is wrong with the file itself becomes one CorpusError that names it, and the line if there is one.
"""

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

from ..errors import CorpusError
from .long_text import Text, TextWriter

GZIP, ZSTD = ".gz", ".zst"
LFS_POINTER = b"version https://git-lfs.github.com/spec/"
"""The first bytes of the small file that git leaves in place of a large one."""
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
BEGIN = 2**20
"""The largest number of bytes of the first line that decide how a file is read."""
LINE_PART = 2**20
"""The number of bytes that are read of a line at once; a small archive can unpack to a line that does not fit into memory."""


def plain_name(path: Path) -> str:
    """Return the file's name in lower case, without the ending of its compression."""
    name = path.name.lower()
    return name.removesuffix(GZIP).removesuffix(ZSTD)


def require_content(path: Path) -> None:
    """Raise CorpusError for a file that is empty, cannot be read, or is the Git LFS pointer to one."""
    try:
        with path.open("rb") as file:
            begin = file.read(len(LFS_POINTER))
    except OSError as error:
        raise CorpusError(f"{path} cannot be read: {error.strerror or error}") from error
    if not begin:
        raise CorpusError(f"{path} is empty; remove it or leave it out")
    if begin == LFS_POINTER:
        raise CorpusError(f"{path} is a Git LFS pointer and not the data; fetch the data with `git lfs pull`")


@contextmanager
def open_bytes(path: Path) -> Iterator[IO[bytes]]:
    """Give the file's bytes, unpacked. Raises CorpusError, inside the block too, for one that cannot be read to its end."""
    require_content(path)
    try:
        with _unpacked(path) as stream:
            yield stream
    except gzip.BadGzipFile as error:
        raise CorpusError(
            f"{path} cannot be read to its end as gzip: {error}; fetch it again, pack it with gzip, or take {GZIP} off its name"
        ) from error
    except (OSError, EOFError, zlib.error) as error:
        raise CorpusError(f"{path} cannot be read to its end: {error}; fetch it again") from error


def _unpacked(path: Path) -> IO[bytes]:
    name = path.name.lower()
    if name.endswith(GZIP):
        return cast(IO[bytes], gzip.open(path, "rb"))
    if name.endswith(ZSTD):
        import pyarrow

        packed: Any = pyarrow.CompressedInputStream(pyarrow.OSFile(str(path)), "zstd")
        return io.BufferedReader(packed, 2**20)
    return path.open("rb")


def numbered_lines(path: Path) -> Iterator[tuple[int, Text]]:
    """Yield (number from 1, line with its end) of a text file. Raises CorpusError for a line that is not UTF-8.

    A byte order mark is left out where a line begins, because files with one are also joined. Carriage returns end the lines of a
    file whose first line does not end otherwise.
    """
    returns = _returns_end_lines(path)
    with open_bytes(path) as stream:
        lines: IO[bytes] = io.BufferedReader(_WithLineFeeds(stream), LINE_PART) if returns else stream
        number = 0
        while data := lines.readline(LINE_PART):
            number += 1
            try:
                yield number, _text(data) if len(data) < LINE_PART else _long_line(data, lines)
            except UnicodeDecodeError as error:
                raise CorpusError(
                    f"expected UTF-8 text in {path}, line {number}, found another encoding ({error.reason}); convert it"
                ) from error


def _returns_end_lines(path: Path) -> bool:
    """Return whether carriage returns end the lines, as in files of old programs for the Mac.

    Raise CorpusError for UTF-16 or UTF-32: at its mark, or where half of the first line's bytes are zero.
    """
    with open_bytes(path) as stream:
        begin = stream.readline(BEGIN)
    if begin.startswith(_UTF16) or 2 * begin.count(0) >= max(2, len(begin) - 1):
        raise CorpusError(
            f"expected UTF-8 text in {path}, found another encoding (UTF-16, or zero bytes); convert it with "
            "`iconv -f UTF-16 -t UTF-8`"
        )
    return not begin.endswith(b"\n") and b"\r" in begin.rstrip(b"\r")


class _WithLineFeeds(io.RawIOBase):
    """The bytes of a stream, with a line feed for every carriage return."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._stream.read(len(buffer)).replace(b"\r", b"\n")
        buffer[: len(data)] = data
        return len(data)


def _text(line: bytes) -> str:
    return line.removeprefix(codecs.BOM_UTF8).decode()


def _long_line(data: bytes, stream: IO[bytes]) -> Text:
    """Return the line whose first bytes are `data`."""
    decoder, writer = codecs.getincrementaldecoder("utf-8-sig")(), TextWriter()
    writer.write(decoder.decode(data))
    while not data.endswith(b"\n") and (data := stream.readline(LINE_PART)):
        writer.write(decoder.decode(data))
    writer.write(decoder.decode(b"", final=True))
    return writer.text()
