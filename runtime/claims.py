"""Claims: several workers share the work of one directory and do none of it twice.

A claim is a lock (flock) on `DIRECTORY/.claim-NAME.lock`. The kernel drops it when its holder dies, however it dies. So nobody
waits for a dead worker, and the next worker claims its unfinished work. In a cache, claims only save work: publishing is
exclusive without them, and workers that do not see each other's locks make the same bytes twice. In a comparison, only claims
keep the workers on students and evaluations apart. For a cache in an object store the locks are in its mirror, where workers on
other machines do not see them: give each machine shards of its own.

`sole_writer` is a claim on a whole directory, for work that two processes cannot share.

On a file system without flock (NFS without its lock daemon, some FUSE), every claim is granted, which we say once. But nothing is
removed there in the belief that its holder is dead.
"""

import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from socket import gethostname
from time import sleep
from types import TracebackType
from typing import Self

from ..errors import LONGEST_VALUE, ConfigurationError, OutputBusyError, shortened
from .listing import entries
from .printing import say
from .there import cache_around, what_is_there

CLAIM_PREFIX = ".claim-"
LOCK_SUFFIX = ".lock"
POLL_SECONDS = 0.2
WRITER = "writer"
"""The name of the claim on a whole directory."""
WITHOUT_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EBADF)
"""The errors of flock on a file system without locks. NFS answers EBADF for a file that we could only open to read."""


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
        for path in entries(self._root, CLAIM_PREFIX, LOCK_SUFFIX):
            if (lock := lock_file(path, certain=True)) is not None:  # left by a worker that was killed
                _remove(path, lock)

    def take(self, name: str) -> bool:
        """Claim `name` and return True; return False while another worker, or this one, holds it."""
        lock = lock_file(self._path(name))
        if lock is not None:
            self._held[name] = lock
        return lock is not None

    def of_others(self) -> list[str]:
        """Return the names that other workers hold."""
        names = []
        for path in entries(self._root, CLAIM_PREFIX, LOCK_SUFFIX):
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
        _remove(self._path(name), self._held.pop(name))

    def _path(self, name: str) -> Path:
        return self._root / (CLAIM_PREFIX + name + LOCK_SUFFIX)


@contextmanager
def sole_writer(directory: Path) -> Iterator[None]:
    """Be the only process that writes into a directory, inside the block; a directory that stays empty is removed at its end.

    Raises OutputBusyError while another process is in such a block, and ConfigurationError if the path is a file or inside a
    cache.
    """
    if (cache := cache_around(directory)) is not None:
        raise ConfigurationError(f"{directory} is inside the cache {cache}; name a directory outside of it")
    new = [path for path in (directory, *directory.parents) if not path.exists()]
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        what = f"a link to {directory.readlink()}, which does not exist" if directory.is_symlink() else "a file"
        raise ConfigurationError(
            f"{directory} is {what}; expected a directory to write to, so name another one"
        ) from None
    except NotADirectoryError:
        raise ConfigurationError(f"{directory} cannot be made: {what_is_there(directory)}; name another one") from None
    path = directory / (CLAIM_PREFIX + WRITER + LOCK_SUFFIX)
    lock = lock_file(path)
    if lock is None:
        raise OutputBusyError(
            f"{directory} is being written by another process{_holder(path)}; wait until it has ended, or name another --output"
        )
    try:
        with suppress(OSError):  # a file of another user
            os.truncate(lock, 0)
            os.write(lock, f"{os.getpid()} on {gethostname()}".encode())
        yield
    finally:
        _remove(path, lock)
        with suppress(OSError):  # it is not empty
            for folder in new:
                folder.rmdir()


def excludes_others(directory: Path) -> bool:
    """Return whether claims in an existing directory keep other processes out; without file locks they do not."""
    path = directory / f"{CLAIM_PREFIX}probe-{os.getpid()}{LOCK_SUFFIX}"
    lock = take_lock(path, certain=True)
    if lock is None:
        path.unlink(missing_ok=True)
        return False
    _remove(path, lock)
    return True


def holds_files(directory: Path) -> bool:
    """Return whether a directory has anything in it except claims."""
    return any(not path.name.startswith(CLAIM_PREFIX) for path in directory.iterdir())


def _holder(path: Path) -> str:
    with suppress(OSError, UnicodeDecodeError), path.open(encoding="utf-8") as stream:
        if text := stream.read(LONGEST_VALUE + 1):
            return f" ({shortened(text)})"
    return ""


def lock_file(path: Path, certain: bool = False) -> int | None:
    """Return a descriptor that holds the lock (flock) of `path`, which is created if it does not exist.

    Return None while another process holds the lock, or if one has just released and removed the file; then try again.
    `certain` as in `take_lock`.
    """
    lock = take_lock(path, certain)
    same = False
    try:
        same = lock is None or _is_same_file(lock, path)
    finally:
        if lock is not None and not same:
            os.close(lock)
    return lock if same else None


def take_lock(path: Path, certain: bool = False) -> int | None:
    """Return a descriptor that holds the lock of `path`, created if it does not exist; None if another one holds it.

    Where the file system does not have locks, return the descriptor as if it held one, or None if the lock must be `certain`.
    """
    descriptor = _opened(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError as error:
        if error.errno in WITHOUT_LOCKS and not certain:
            _say_without_locks(path.parent)
            return descriptor
        os.close(descriptor)
        if error.errno in WITHOUT_LOCKS:
            return None
        raise
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _opened(path: Path) -> int:
    """Open a lock file; the file of another user, who may have died, only to read."""
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except PermissionError as error:
        try:
            return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise error from None


@cache
def _say_without_locks(folder: Path) -> None:
    say(
        f"warning: the file system of {folder} does not have file locks (flock), so processes there do not see each other; "
        "start only one, or give each its own work",
        err=True,
    )


def _remove(path: Path, lock: int) -> None:
    """Remove a lock file and release its lock. The file of another user may have to stay, which does no harm."""
    try:
        with suppress(PermissionError):
            path.unlink(missing_ok=True)
    finally:
        os.close(lock)


def _is_same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False
