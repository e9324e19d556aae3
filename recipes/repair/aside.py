"""Setting a published folder aside while it is made again: a rename to a name that readers pass over, and back on failure."""

import os
import re
import shutil
from pathlib import Path

from ...errors import MiniEndError
from ...storage.folder import PublishedFolder, same_content
from ...storage.inventory import document_name

ASIDE_PREFIX = ".repair-"


def set_aside(target: Path) -> Path:
    """Rename what stands at `target`, if anything, and return where it lies now.

    What an earlier repair that was killed has left there stays, as long as nothing stands at `target`.
    """
    aside = target.with_name(ASIDE_PREFIX + target.name)
    if os.path.lexists(target):
        discard(aside)
        os.rename(target, aside)
    return aside


def put_back(aside: Path, target: Path) -> None:
    """Undo `set_aside`: what was published at `target` meanwhile goes, if anything stood there before."""
    if os.path.lexists(aside):
        discard(target)
        os.rename(aside, target)


def discard(path: Path) -> None:
    """Remove a folder, a file or a link, if there is one."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def claimed_digests(folder: Path, kind: str) -> set[str]:
    """What the document says its own digest is, even where the rest of it is damaged; empty where nothing can be read."""
    path = folder / document_name(kind)
    tail = path.read_bytes()[-200:] if path.is_file() else b""
    return {found.decode() for found in re.findall(rb'"sha256": "([0-9a-f]{64})"\n', tail)}


def compared(old: Path, new: PublishedFolder) -> str:
    """What can be said of a folder that was made again, from what is left of the old one; "" where it holds other values."""
    if new.digest in claimed_digests(old, new.kind):
        return "byte-identical to what was published"
    try:
        before = PublishedFolder(old, new.kind)
    except MiniEndError:
        return "made again; nothing was left to compare it with"
    if any(before.document.get(key) != new.document.get(key) for key in ("parent", "split", "number", "start", "stop")):
        return "made again; another folder had taken its place"
    left = [name for name in before.columns if _reads(before, name)]
    return "the same values, compressed otherwise" if same_content(before, new, left) else ""


def _reads(folder: PublishedFolder, name: str) -> bool:
    try:
        folder.column(name)
    except MiniEndError:
        return False
    return True
