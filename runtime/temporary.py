"""Temporary folders. The disk below TMPDIR may be full, read-only or not there: the error names it."""

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import MiniEndError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""The errors of a full disk, which do not name a path."""


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Give an empty folder that the end of the block removes. Raises MiniEndError if it cannot be made or written."""
    try:
        made = tempfile.TemporaryDirectory(prefix="miniend-")
    except OSError as error:
        raise _unusable(error) from error
    with made as folder:
        try:
            yield Path(folder)
        except OSError as error:
            of_another_file = error.filename is not None and not str(error.filename).startswith(folder)
            if (
                isinstance(error, MiniEndError)
                or of_another_file
                or (error.filename is None and error.errno not in FULL)
            ):
                raise
            raise _unusable(error) from error


def temporary_place() -> str:
    """Return the folder of all temporary files; the one that was asked for if none can be used."""
    with suppress(OSError):
        return tempfile.gettempdir()
    return os.environ.get("TMPDIR") or "/tmp"


def _unusable(error: OSError) -> MiniEndError:
    return MiniEndError(
        f"temporary files cannot be written in {temporary_place()}: {error.strerror}; set TMPDIR to a folder that can be "
        "written and has more room, and run the same command again"
    )
