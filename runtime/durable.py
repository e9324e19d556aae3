"""Write files that survive a kill: written aside, flushed to the disk, renamed."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import MiniEndError


def flush(path: Path) -> None:
    """Wait until a file's content, or a folder's entries, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def leads_nowhere(error: OSError) -> bool:
    """Return whether there is not a file at a path, unlike one that cannot be read at the moment."""
    return error.errno in (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG)


def is_there(path: Path) -> bool:
    """Return whether a file, a folder or a link has this path. What no file can be called is not there.

    Raises OSError if that cannot be known at the moment, which os.path.exists and its relatives answer with no.
    """
    try:
        os.lstat(path)
    except ValueError:  # it has NUL or half of a surrogate pair
        return False
    except OSError as error:
        if leads_nowhere(error):
            return False
        raise
    return True


def share(path: Path) -> None:
    """Give a file the mode of every new file here, which umask decides. safetensors lets only the owner read its files."""
    probe = path.with_name(f".{path.name}.mode")
    probe.touch()
    path.chmod(stat.S_IMODE(probe.stat().st_mode))
    probe.unlink()


def write_durably(path: Path, content: bytes) -> None:
    """Replace a file by `content` atomically: write aside, flush to the disk, rename."""
    aside = path.with_name(f".{path.name}.partial")
    aside.write_bytes(content)
    flush(aside)
    os.replace(aside, path)
    flush(path.parent)


@contextmanager
def full_disk_named(target: Path) -> Iterator[None]:
    """Turn "no space" and "quota exceeded" into a MiniEndError that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise MiniEndError(
            f"the disk is full: {target} could not be written, and nothing of it was published. "
            "Make room and run the same command again; it goes on where it stopped"
        ) from error
