"""Build a folder beside its target under a name that readers ignore, then rename it, whole or not at all.

Renaming a directory onto one that is not empty fails, which makes publishing exclusive without a lock on the target.
Each writer holds a lock (flock) on a file beside its staging folder while it lives. The kernel drops the lock when the process
dies, however it dies. So if the lock of a staging folder can be taken, its writer is dead. The lock file is beside the folder
and not in it, because everything in the folder is published.
"""

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ...errors import CacheMismatchError
from ...runtime.claims import LOCK_SUFFIX, lock_file, take_lock
from ...runtime.durable import flush, full_disk_named
from ...runtime.listing import entries, everything_below

STAGING_PREFIX = ".staging-"


@contextmanager
def staging(target: Path) -> Iterator[Path]:
    """Give the block a new, empty, locked folder beside `target`, and remove it at the end unless it was published.

    Creates the parents of `target`. Raises MiniEndError if the disk is full inside the block.
    """
    with full_disk_named(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        folder, lock = _locked_name(target)
        try:
            folder.mkdir()
            yield folder
        finally:
            try:
                shutil.rmtree(folder, ignore_errors=True)
                _lock_path(folder).unlink(missing_ok=True)
            finally:
                os.close(lock)


def publish(staged: Path, target: Path) -> bool:
    """Flush all of `staged`, rename it to `target`, and return True; return False if another writer's folder is already there.

    Raises CacheMismatchError if `target` is something else than a folder.
    """
    for path in everything_below(staged):
        flush(path)
    flush(staged)
    try:
        os.rename(staged, target)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            return False
        if error.errno == errno.ENOTDIR:
            raise CacheMismatchError(f"{target} should be a folder of the cache, found a file: move it away") from error
        raise
    flush(target.parent)
    return True


def remove_abandoned(parent: Path) -> list[Path]:
    """Remove the staging folders in `parent` whose writers are dead, and return their paths."""
    if not parent.is_dir():
        return []
    names = {path.name.removesuffix(LOCK_SUFFIX) for path in entries(parent, STAGING_PREFIX)}
    with full_disk_named(parent):
        return [parent / name for name in sorted(names) if _remove_if_abandoned(parent / name)]


def _locked_name(target: Path) -> tuple[Path, int]:
    """Return a staging path that nobody else uses, and the descriptor that holds its lock.

    A cleaner may take and remove the lock file after we create it and before we lock it; we then try another name.
    """
    while True:
        folder = target.parent / f"{STAGING_PREFIX}{target.name}-{os.getpid()}-{secrets.token_hex(8)}"
        lock = lock_file(_lock_path(folder))
        if lock is not None:
            return folder, lock


def _remove_if_abandoned(folder: Path) -> bool:
    """Remove one staging folder, then its lock file, and return True.

    Return False if a writer holds the lock, if nobody can know (without locks), or if another user must remove the folder.
    """
    lock = take_lock(_lock_path(folder), certain=True)
    if lock is None:
        return False
    try:
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(PermissionError):
            _lock_path(folder).unlink(missing_ok=True)
    finally:
        os.close(lock)
    return not folder.exists()


def _lock_path(folder: Path) -> Path:
    return folder.with_name(folder.name + LOCK_SUFFIX)
