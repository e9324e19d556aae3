"""Claims: several workers share the work of one directory and do none of it twice.

A claim is a lock (flock) on `DIRECTORY/.claim-NAME.lock`. The kernel drops it when its holder dies, however it dies. So nobody
waits for a dead worker, and the next worker claims its unfinished work. In a cache, claims only save work: publishing is
exclusive without them, and workers that do not see each other's locks make the same bytes twice. In a comparison, only claims
keep the workers on students and evaluations apart. For a cache in an object store the locks are in its mirror, where workers on
other machines do not see them: give each machine shards of its own.
"""

import fcntl
import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from time import sleep
from types import TracebackType
from typing import Self

CLAIM_PREFIX = ".claim-"
LOCK_SUFFIX = ".lock"
POLL_SECONDS = 0.2


class Claims:
    """The claims of one worker on parts of one directory. The end of the `with` block releases them."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._held: dict[str, int] = {}

    def __enter__(self) -> Self:
        self._root.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with ExitStack() as stack:
            for name in list(self._held):
                stack.callback(self.release, name)
        for path in self._root.glob(CLAIM_PREFIX + "*" + LOCK_SUFFIX):
            if (lock := lock_file(path)) is not None:  # left by a worker that was killed
                try:
                    path.unlink(missing_ok=True)
                finally:
                    os.close(lock)

    def take(self, name: str) -> bool:
        """Claim `name` and return True; return False while another worker, or this one, holds it."""
        lock = lock_file(self._path(name))
        if lock is not None:
            self._held[name] = lock
        return lock is not None

    def of_others(self) -> list[str]:
        """Return the names that other workers hold."""
        names = []
        for path in self._root.glob(CLAIM_PREFIX + "*" + LOCK_SUFFIX):
            name = path.name.removeprefix(CLAIM_PREFIX).removesuffix(LOCK_SUFFIX)
            if name in self._held:
                continue
            if (lock := lock_file(path)) is None:
                names.append(name)
            else:
                os.close(lock)
        return names

    def wait(self, name: str, waiting: Callable[[], None]) -> None:
        """Claim `name` when its holder has released it or died; call `waiting` once if that takes time."""
        if self.take(name):
            return
        waiting()
        while not self.take(name):
            sleep(POLL_SECONDS)

    def release(self, name: str) -> None:
        """Give up a claim that this worker holds."""
        lock = self._held.pop(name)
        try:
            self._path(name).unlink(missing_ok=True)
        finally:
            os.close(lock)

    def _path(self, name: str) -> Path:
        return self._root / (CLAIM_PREFIX + name + LOCK_SUFFIX)


def lock_file(path: Path) -> int | None:
    """Return a descriptor that holds the lock (flock) of `path`, which is created if it does not exist.

    Return None while another process holds the lock, or if one has just released and removed the file; then try again.
    """
    lock = take_lock(path)
    if lock is None or _is_same_file(lock, path):
        return lock
    os.close(lock)
    return None


def take_lock(path: Path) -> int | None:
    """Return a descriptor that holds the lock of `path`, created if it does not exist; None if another one holds it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _is_same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False
