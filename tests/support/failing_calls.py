"""System calls that fail: each call of Python's os and io below some folders is counted, and the n-th raises an errno.

Beside support/faults.py, which tears writes and kills, this one also sees what reads, lists, looks and locks.
"""

import builtins
import errno
import fcntl
import io
import os
import threading

CALLS = {
    os: (
        "open",
        "stat",
        "lstat",
        "listdir",
        "scandir",
        "mkdir",
        "rename",
        "replace",
        "unlink",
        "rmdir",
        "link",
        "chmod",
        "utime",
    ),
    io: ("open",),
    builtins: ("open",),
}
ON_DESCRIPTORS = {os: ("fsync", "fstat", "read", "write", "truncate"), fcntl: ("flock",)}
ERRORS = ("EIO", "ENOSPC", "EACCES", "EROFS", "EMFILE", "ESTALE", "EDQUOT", "EINTR", "ENOLCK")


class FailingCalls:
    """Inside the block the call number `at` below one of the `roots` raises `error`; `calls` are all of them, in order."""

    def __init__(self, roots, error=None, at=-1):
        self._roots, self._error, self._at = [os.fspath(root) for root in roots], error, at
        self.calls = []
        self._lock = threading.Lock()
        self._before = []

    def __enter__(self):
        for names, path_of in ((CALLS, os.fspath), (ON_DESCRIPTORS, _path_of)):
            for module, functions in names.items():
                for name in functions:
                    function = getattr(module, name)
                    self._before.append((module, name, function))
                    setattr(module, name, self._wrapped(name, function, path_of))
        return self

    def __exit__(self, *_raised):
        for module, name, function in self._before:
            setattr(module, name, function)

    def _wrapped(self, name, function, path_of):
        def called(*arguments, **named):
            path = self._below(arguments[0] if arguments else ".", path_of)
            if path is not None:
                self._reach(name, path)
            return function(*arguments, **named)

        return called

    def _below(self, argument, path_of):
        try:
            path = path_of(argument)
        except (TypeError, OSError):
            return None
        inside = isinstance(path, str) and any(f"{path}/".startswith(f"{root}/") for root in self._roots)
        return path if inside else None

    def _reach(self, name, path):
        with self._lock:
            number = len(self.calls)
            self.calls.append(f"{name} {path}")
        if number == self._at:
            code = getattr(errno, self._error)
            raise OSError(code, os.strerror(code), path)


def _path_of(descriptor):
    if isinstance(descriptor, int):
        return os.readlink(f"/proc/self/fd/{descriptor}")
    return os.fspath(descriptor)
