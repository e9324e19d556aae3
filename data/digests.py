"""SHA-256 of users' files. Hashing takes minutes to an hour for large corpora, so we keep the digests of large files.

A kept digest counts only for the same path, length, inode and times of change. A file that was changed within the last moments
before it was hashed is hashed again the next time, because file systems count time in steps.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from time import time_ns
from typing import Any

from ..errors import CorpusError
from ..runtime.durable import write_durably
from ..runtime.json_file import read_json
from ..runtime.progress import progress_bar

KEPT_FROM = 64 * 2**20
"""The length in bytes from which a digest is kept; smaller files are hashed in a fraction of a second."""
SETTLED = 2 * 10**9
"""The nanoseconds after a change in which a file may change again without another time."""
PIECE = 2**20
DIGESTS = "digests"


def digests_of(paths: Iterable[Path]) -> list[str]:
    """Return the SHA-256 of each file as it is on disk, in hexadecimal, with a progress bar over all bytes."""
    sizes = {path: path.stat().st_size for path in paths}
    with progress_bar("reading the corpus for its digest", sum(sizes.values()), "B", scaled=True) as bar:
        return [_digest(path, bar.update) for path in sizes]


def _digest(path: Path, done: Callable[[int], Any]) -> str:
    """Return one digest; `done` gets the numbers of bytes. Raises CorpusError if the file cannot be read."""
    state = _state(path)
    if (kept := _kept(path, state)) is not None:
        done(state["bytes"])
        return kept
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while piece := file.read(PIECE):
                digest.update(piece)
                done(len(piece))
    except OSError as error:
        raise CorpusError(f"{path} cannot be read to its end: {error.strerror or error}; fetch it again") from error
    if state["bytes"] >= KEPT_FROM and _state(path) == state and time_ns() - state["changed"] > SETTLED:
        with suppress(OSError):  # only time is lost
            _place(path).parent.mkdir(parents=True, exist_ok=True)
            write_durably(_place(path), json.dumps({**state, "sha256": digest.hexdigest()}).encode())
    return digest.hexdigest()


def _state(path: Path) -> dict[str, Any]:
    found = path.stat()
    return {
        "path": str(path.resolve()),
        "bytes": found.st_size,
        "inode": found.st_ino,
        "modified": found.st_mtime_ns,
        "changed": max(found.st_ctime_ns, found.st_mtime_ns),
    }


def _kept(path: Path, state: dict[str, Any]) -> str | None:
    if state["bytes"] < KEPT_FROM:
        return None
    with suppress(OSError, ValueError):
        found = read_json(_place(path))
        if isinstance(found, dict) and {**found, "sha256": ""} == {**state, "sha256": ""}:
            return str(found["sha256"])
    return None


def _place(path: Path) -> Path:
    """Return where the digest of a file is kept, in the folder of caches that may be deleted at any time."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    name = hashlib.sha256(str(path.resolve()).encode()).hexdigest()
    return Path(root) / "miniend" / DIGESTS / f"{name}.json"
