"""Publishing: a folder is built beside its target under a name that readers ignore, then renamed, whole or not at all.

Renaming a directory onto one that is not empty fails, which makes publishing exclusive without a lock on the target.
Each writer holds a lock (flock) on a file beside its staging folder while it lives, and the kernel drops it when the
process dies however it dies: what is left of a killed writer is recognized by a lock that can be taken. The lock file
lies beside the folder and not in it, because everything in the folder is published.
"""

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...errors import CacheMismatchError
from ...runtime.claims import LOCK_SUFFIX, lock_file, take_lock
from ...runtime.durable import flush, full_disk_named

STAGING_PREFIX = ".staging-"


@contextmanager
def staging(target: Path) -> Iterator[Path]:
    """A new empty locked folder beside `target`, removed at the end unless it was published.

    Creates the parents of `target`. A full disk inside the block is raised as MiniEndError.
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
    """Flush all of `staged` and rename it to `target`; False when another writer's folder stands there already.

    Raises CacheMismatchError when something that is no folder stands there.
    """
    for path in sorted(staged.rglob("*")):
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
    """Remove the staging folders in `parent` whose writers are gone, and return them; living writers are left alone."""
    if not parent.is_dir():
        return []
    names = {path.name.removesuffix(LOCK_SUFFIX) for path in parent.glob(STAGING_PREFIX + "*")}
    with full_disk_named(parent):
        return [parent / name for name in sorted(names) if _remove_if_abandoned(parent / name)]


def _locked_name(target: Path) -> tuple[Path, int]:
    """A staging path that nobody else uses and the descriptor that holds its lock.

    A cleaner may take and remove the lock file between its creation and its locking: then another name is tried.
    """
    while True:
        folder = target.parent / f"{STAGING_PREFIX}{target.name}-{os.getpid()}-{secrets.token_hex(8)}"
        lock = lock_file(_lock_path(folder))
        if lock is not None:
            return folder, lock


def _remove_if_abandoned(folder: Path) -> bool:
    """Remove one staging folder and then its lock file, unless a writer holds the lock."""
    lock = take_lock(_lock_path(folder))
    if lock is None:
        return False
    try:
        shutil.rmtree(folder, ignore_errors=True)
        _lock_path(folder).unlink(missing_ok=True)
    finally:
        os.close(lock)
    return True


def _lock_path(folder: Path) -> Path:
    return folder.with_name(folder.name + LOCK_SUFFIX)
