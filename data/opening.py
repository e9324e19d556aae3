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
    """Yield (number from 1, line with its end) of a text file. Raises CorpusError for a line that is not UTF-8."""
    with open_bytes(path) as stream:
        number = 0
        while data := stream.readline(LINE_PART):
            number += 1
            codec = "utf-8-sig" if number == 1 else "utf-8"
            try:
                yield number, data.decode(codec) if len(data) < LINE_PART else _long_line(data, stream, codec)
            except UnicodeDecodeError as error:
                raise CorpusError(
                    f"expected UTF-8 text in {path}, line {number}, found another encoding ({error.reason}); convert it"
                ) from error


def _long_line(data: bytes, stream: IO[bytes], codec: str) -> Text:
    """Return the line whose first bytes are `data`."""
    decoder, writer = codecs.getincrementaldecoder(codec)(), TextWriter()
    writer.write(decoder.decode(data))
    while not data.endswith(b"\n") and (data := stream.readline(LINE_PART)):
        writer.write(decoder.decode(data))
    writer.write(decoder.decode(b"", final=True))
    return writer.text()
