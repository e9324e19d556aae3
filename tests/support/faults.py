"""Faults on purpose: every storage operation below one folder is counted, and the n-th fails, fills the disk or kills.

Seen by the interpreter's audit events are creating opens, mkdir, rename, link, unlink, rmdir and flock; files opened for
writing are replaced by ones whose raw writes are seen too, and `os.fsync` by a count (which is also faster). A write
that fails has written half of its bytes.
"""

import errno
import io
import os
import sys
import threading
from pathlib import Path

DIED = 77
"""Exit status of a process that was killed by a fault."""
KINDS = ("EIO", "ENOSPC", "die")
NEEDS_ROOM = ("open", "write", "mkdir", "link")
"""What goes on failing once the disk is full; removing and renaming work."""
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
EVENTS = {
    "os.mkdir": "mkdir",
    "os.rename": "rename",
    "os.link": "link",
    "os.remove": "unlink",
    "os.rmdir": "rmdir",
    "fcntl.flock": "lock",
}


class Faults:
    """Watches the operations below `root` from `arm` to `disarm`; install one per process, for it can never be removed."""

    def __init__(self, root, kind=None, at=-1):
        self.root, self.kind, self.at = os.fspath(root), kind, at
        self.operations = []
        self._armed = False
        self._counting = threading.Lock()
        self._open, self._fsync = io.open, os.fsync
        sys.addaudithook(self._hear)

    def __enter__(self):
        io.open, os.fsync = self._opened, self._flushed
        self._armed = True
        return self

    def __exit__(self, *_raised):
        io.open, os.fsync = self._open, self._fsync
        self._armed = False

    def reach(self, operation, path, tear=lambda: None):
        """Count one operation; at the chosen one, and at all that need room once the disk is full, `tear` and strike."""
        with self._counting:
            number = len(self.operations)
            self.operations.append(f"{operation} {os.path.relpath(path, self.root)}")
        full = self.kind == "ENOSPC" and number > self.at and operation in NEEDS_ROOM
        if self.kind and (number == self.at or full):
            tear()
            if self.kind == "die":
                os._exit(DIED)
            raise OSError(getattr(errno, self.kind), os.strerror(getattr(errno, self.kind)), os.fspath(path))

    def _hear(self, event, arguments):
        if not self._armed:
            return
        if event == "open" and arguments[2] & WRITING and self._watched(arguments[0]):
            self.reach("open", arguments[0])
        elif event in EVENTS:
            folder = arguments[-1] if event in ("os.remove", "os.rmdir") else -1
            path = _path_of(arguments[0], folder)
            if self._watched(path):
                self.reach(EVENTS[event], path)

    def _watched(self, path):
        return isinstance(path, str | os.PathLike) and f"{os.fspath(path)}/".startswith(f"{self.root}/")

    def _opened(self, file, mode="r", *arguments, **named):
        if not self._watched(file) or mode in ("r", "rb"):
            return self._open(file, mode, *arguments, **named)
        assert mode in ("wb", "xb"), f"a file of a cache is opened in mode {mode}, whose writes are not seen"
        return io.BufferedWriter(_Torn(file, mode, self))

    def _flushed(self, descriptor):
        path = _path_of(descriptor)
        if self._watched(path):
            self.reach("flush", path)
        else:
            self._fsync(descriptor)


class _Torn(io.FileIO):
    """A file whose every raw write is an operation."""

    def __init__(self, path, mode, faults):
        super().__init__(path, mode)
        self._path, self._faults = Path(path), faults

    def write(self, data):
        half = bytes(data[: len(data) // 2])
        self._faults.reach("write", self._path, tear=lambda: super(_Torn, self).write(half))
        return super().write(data)


def _path_of(path, folder=-1):
    """The path behind a descriptor, or a name that is relative to an open folder."""
    if isinstance(path, int):
        return os.readlink(f"/proc/self/fd/{path}")
    return os.path.join(os.readlink(f"/proc/self/fd/{folder}"), os.fspath(path)) if folder != -1 else path
