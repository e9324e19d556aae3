"""SHA-256 of users' files. Hashing takes minutes to hours for large corpora, so we keep the digests of large folders.

A kept digest counts only for the same path, length, inode and times of change. A file that was changed within the last moments
before it was hashed is hashed again the next time, because file systems count time in steps. Other bytes under the same length
and times are not noticed: remove the folder of kept digests to have everything hashed again.
"""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic, time_ns
from typing import Any

from ..errors import CorpusError
from ..runtime.durable import write_durably
from ..runtime.json_file import read_json
from ..runtime.progress import progress_bar
from ..runtime.user_cache import user_cache

KEPT_FROM = 64 * 2**20
"""The number of bytes of a folder's files from which we keep their digests; fewer are hashed in a fraction of a second."""
KEPT_FILES = 1000
"""The number of files of a folder from which we keep their digests."""
SETTLED = 2 * 10**9
"""The nanoseconds after a change in which a file may change again without another time."""
SAVED_EVERY = 30.0
"""The seconds after which new digests are kept while others are computed."""
PIECE = 2**20
DIGESTS = "digests"

State = list[Any]
"""Length in bytes, inode, time of the content, time of the latest change; times in nanoseconds."""


def digests_of(paths: Iterable[Path]) -> list[str]:
    """Return the SHA-256 of each file as it is on disk, in hexadecimal. Shows progress over all bytes that must be read.

    What was hashed before an interruption is kept. Raises CorpusError for a file that cannot be read.
    """
    files = list(dict.fromkeys(paths))
    states = [state_of(path) for path in files]
    notes = {folder: _Note(folder) for folder in dict.fromkeys(path.parent for path in files)}
    found = {path: notes[path.parent].digest(path, state) for path, state in zip(files, states, strict=True)}
    missing = [(path, state) for path, state in zip(files, states, strict=True) if found[path] is None]
    total, large = sum(state[0] for _, state in missing), _large(files, states)
    saved = monotonic()
    with progress_bar("reading the corpus for its digest", total, "B", scaled=True) as bar:
        try:
            for path, state in missing:
                found[path] = digest = _hashed(path, bar.update)
                if path.parent in large:
                    notes[path.parent].add(path, state, digest)
                if monotonic() - saved > SAVED_EVERY:
                    notes[path.parent].save()
                    saved = monotonic()
        finally:
            for note in notes.values():
                note.save()
    return [str(found[path]) for path in files]


def _large(files: Sequence[Path], states: Sequence[State]) -> set[Path]:
    """Return the folders whose digests we keep."""
    sizes, counts = Counter[Path](), Counter(path.parent for path in files)
    for path, state in zip(files, states, strict=True):
        sizes[path.parent] += state[0]
    return {folder for folder in counts if sizes[folder] >= KEPT_FROM or counts[folder] >= KEPT_FILES}


def _hashed(path: Path, done: Callable[[int], Any]) -> str:
    """Return one digest; `done` gets the numbers of bytes."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while piece := file.read(PIECE):
                digest.update(piece)
                done(len(piece))
    except OSError as error:
        raise CorpusError(f"{path} cannot be read to its end: {error.strerror or error}; fetch it again") from error
    return digest.hexdigest()


def require_unchanged(path: Path, hashed: State | None) -> None:
    """Raise CorpusError if the length of a file or the time of its content differs from the state in which it was hashed."""
    if hashed is None:
        return
    now = state_of(path)
    if (now[0], now[2]) != (hashed[0], hashed[2]):
        raise CorpusError(
            f"{path} has changed since its digest was taken: it had {hashed[0]:,} bytes and has {now[0]:,}; leave a corpus as it "
            "is while a dump reads it, and run the command again"
        )


def state_of(path: Path) -> State:
    """Return the state of a file. Raises CorpusError if it cannot be read."""
    try:
        found = path.stat()
    except OSError as error:
        raise CorpusError(f"{path} cannot be read: {error.strerror or error}") from error
    return [found.st_size, found.st_ino, found.st_mtime_ns, max(found.st_ctime_ns, found.st_mtime_ns)]


class _Note:
    """The kept digests of the files of one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder.resolve())
        self._place = self._named(user_cache())
        self._kept, self._new = self._read(), False

    def _named(self, kept: Path | None) -> Path | None:
        return kept and kept / DIGESTS / f"{hashlib.sha256(os.fsencode(self._folder)).hexdigest()}.json"

    def _read(self) -> dict[str, Any]:
        if self._place is None:
            return {}
        with suppress(OSError, ValueError):
            found = read_json(self._place)
            if isinstance(found, dict) and found.get("folder") == self._folder and isinstance(found.get("files"), dict):
                return dict(found["files"])
        return {}

    def digest(self, path: Path, state: State) -> str | None:
        """Return the kept digest of a file in this state; None if there is none."""
        entry = self._kept.get(path.name)
        if isinstance(entry, list) and entry[:-1] == state and isinstance(entry[-1], str):
            return entry[-1]
        return None

    def add(self, path: Path, state: State, digest: str) -> None:
        """Take a new digest, unless the file has changed or may still change unseen."""
        if state_of(path) == state and time_ns() - state[-1] > SETTLED:
            self._kept[path.name], self._new = [*state, digest], True

    def save(self) -> None:
        """Keep all of them, with the digests that another process kept meanwhile."""
        if self._new and self._place is not None:
            with suppress(OSError):  # only time is lost
                self._place.parent.mkdir(parents=True, exist_ok=True)
                files = self._read() | self._kept
                write_durably(self._place, json.dumps({"folder": self._folder, "files": files}).encode())
            self._new = False
