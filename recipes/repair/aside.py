"""Set a published folder aside while it is made again: rename it to a name that readers skip, and back on failure."""

import os
import re
import shutil
from pathlib import Path

from ...errors import MiniEndError
from ...runtime.durable import is_there
from ...storage.folder import PublishedFolder, same_content
from ...storage.inventory import document_name

ASIDE_PREFIX = ".repair-"


def set_aside(target: Path) -> Path:
    """Rename what is at `target`, if anything, and return its new path.

    A killed repair may have left a folder at the new path. It is kept if nothing is at `target`.
    """
    aside = target.with_name(ASIDE_PREFIX + target.name)
    if is_there(target):
        discard(aside)
        os.rename(target, aside)
    return aside


def put_back(aside: Path, target: Path) -> None:
    """Undo `set_aside`. If something was set aside, whatever was published at `target` since then is removed."""
    if is_there(aside):
        discard(target)
        os.rename(aside, target)


def discard(path: Path) -> None:
    """Remove a folder, a file or a link, if it exists."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def claimed_digests(folder: Path, kind: str) -> set[str]:
    """Return the digest that a document gives for itself, even if the rest is damaged; empty if it cannot be read."""
    path = folder / document_name(kind)
    tail = path.read_bytes()[-200:] if path.is_file() else b""
    return {digest.decode() for digest in re.findall(rb'"sha256": "([0-9a-f]{64})"\n', tail)}


def compared(old: Path, new: PublishedFolder) -> str:
    """Return how a folder that was made again compares with the rest of the old one; "" if it holds other values."""
    if new.digest in claimed_digests(old, new.kind):
        return "byte-identical to what was published"
    try:
        before = PublishedFolder(old, new.kind)
    except MiniEndError:
        return "made again; nothing is left to compare it with"
    if any(before.document.get(key) != new.document.get(key) for key in ("parent", "split", "number", "start", "stop")):
        return "made again; another folder was in its place"
    left = [name for name in before.columns if _reads(before, name)]
    return "the same values, compressed differently" if same_content(before, new, left) else ""


def _reads(folder: PublishedFolder, name: str) -> bool:
    try:
        folder.column(name)
    except MiniEndError:
        return False
    return True
