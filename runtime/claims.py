"""Claims: who of several workers makes what, so that they share the work of one directory and do none of it twice.

A claim is a lock (flock) on `DIRECTORY/.claim-NAME`, which the kernel drops when its holder dies however it dies; so nobody
ever waits for the dead, and what they left undone is claimed by the next. In a cache claims save work and decide nothing:
publishing is exclusive without them, and workers that do not see each other's locks only make the same bytes twice. The students
and evaluations of a comparison have nothing but claims to keep workers apart. For a cache in an object store the locks lie in its
mirror, so that workers of other machines do not see them: give each machine shards of its own.
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
    """The claims of one worker on parts of one directory; a context at whose end all are released."""

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
        """Claim `name`; False while another worker, or this one, holds it."""
        lock = lock_file(self._path(name))
        if lock is not None:
            self._held[name] = lock
        return lock is not None

    def of_others(self) -> list[str]:
        """What other workers hold."""
        found = []
        for path in self._root.glob(CLAIM_PREFIX + "*" + LOCK_SUFFIX):
            name = path.name.removeprefix(CLAIM_PREFIX).removesuffix(LOCK_SUFFIX)
            if name in self._held:
                continue
            if (lock := lock_file(path)) is None:
                found.append(name)
            else:
                os.close(lock)
        return found

    def wait(self, name: str, waiting: Callable[[], None]) -> None:
        """Claim `name`, after its holder has released it or died; calls `waiting` once where that takes time."""
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
    """A descriptor of `path`, created if need be, that holds its lock (flock).

    None while another one holds it, or has just released and removed it: then try again.
    """
    lock = take_lock(path)
    if lock is None or _is_same_file(lock, path):
        return lock
    os.close(lock)
    return None


def take_lock(path: Path) -> int | None:
    """A descriptor of `path`, created if need be, that holds its lock; None when another one holds it."""
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
