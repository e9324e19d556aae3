"""Markers: what the document of every segment and shard folder says of its place, and opening a folder only in its place."""

from pathlib import Path
from typing import Any

from ..errors import CacheMismatchError
from .layout import ShardRange
from .reading import PublishedFolder


def marker_members(place: ShardRange, parent: str) -> dict[str, Any]:
    """The members that every marker's body begins with."""
    return {
        "parent": parent,
        "split": place.split,
        "number": place.number,
        "start": place.start,
        "stop": place.stop,
    }


def open_marked(path: Path, place: ShardRange, parent: str) -> PublishedFolder:
    """A segment or shard that must be this one of this cache.

    Raises CacheMismatchError for a folder of another cache or another range (foreign, swapped), CacheDamagedError for one
    whose document was changed.
    """
    folder = PublishedFolder(path, "marker")
    check_place(folder, place, parent)
    return folder


def check_place(folder: PublishedFolder, place: ShardRange, parent: str) -> None:
    """Raise CacheMismatchError unless the marker names this place and this parent."""
    for key, expected in marker_members(place, parent).items():
        if folder.document.get(key) != expected:
            raise CacheMismatchError(
                f"{folder.path} belongs elsewhere: expected {key} {expected}, found {folder.document.get(key)}. "
                "Put the right folder back, or let `miniend verify --repair` dump it again"
            )
