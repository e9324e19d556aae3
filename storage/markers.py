"""Markers: what the document of every segment and shard folder says of its place, and opening a folder only in its place."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from itertools import compress
from typing import Any

from ..errors import CacheMismatchError
from .inventory import document_name
from .layout import ShardRange
from .reading import PublishedFolder
from .stores.place import Place, Where, place_of

REQUESTS = 32
"""Documents that are asked for at once from an object store."""


def marker_members(place: ShardRange, parent: str) -> dict[str, Any]:
    """Return the members that every marker has, by name."""
    return {"parent": parent, **asdict(place)}


def open_marked(path: Where, place: ShardRange, parent: str) -> PublishedFolder:
    """A segment or shard that must be this one of this cache.

    Raises CacheMismatchError for a folder of another cache or another range (foreign, swapped), CacheDamagedError for one
    whose document was changed.
    """
    folder = PublishedFolder(path, "marker")
    expected = marker_members(place, parent)
    if folder.path.bucket is not None and _different(folder, expected):  # perhaps the mirror's is of an earlier cache
        folder = PublishedFolder(folder.path, "marker", fresh=True)
    check_place(folder, place, parent)
    return folder


def check_place(folder: PublishedFolder, place: ShardRange, parent: str) -> None:
    """Raise CacheMismatchError unless the marker names this place and this parent."""
    expected = marker_members(place, parent)
    for key in _different(folder, expected):
        raise CacheMismatchError(
            f"{folder.path} belongs elsewhere: expected {key} {expected[key]}, found {folder.document.get(key)}. "
            "Put the right folder back, or let `miniend verify --repair` dump it again"
        )


def published(parent: Where, table: Sequence[ShardRange]) -> set[ShardRange]:
    """Those of `table` that are published in the folder `parent`; their content is not checked.

    The folder is listed once. From an object store, markers that the mirror lacks are fetched, many at a time.
    """
    folder = place_of(parent)
    standing = set(folder.names())
    likely = [place for place in table if place.name in standing]
    if folder.bucket is None:
        return {place for place in likely if _stands(folder / place.name)}
    with ThreadPoolExecutor(REQUESTS, thread_name_prefix="markers") as pool:
        return set(compress(likely, pool.map(lambda place: _stands(folder / place.name), likely)))


def open_published(
    parent: Where, table: Sequence[ShardRange], digest: str
) -> Iterator[tuple[ShardRange, PublishedFolder]]:
    """Those of `table` that are published in the folder `parent`, in its order, each opened by `open_marked`."""
    folder, there = place_of(parent), published(parent, table)
    for place in table:
        if place in there:
            yield place, open_marked(folder / place.name, place, digest)


def _stands(folder: Place) -> bool:
    """Whether a folder that was listed has its marker; from an object store the mirror then has it as well."""
    name = document_name("marker")
    if os.path.lexists(folder.local / name):
        return True
    if folder.bucket is None:
        return False
    try:
        folder.fetch(name)
    except FileNotFoundError:
        return False
    return True


def _different(folder: PublishedFolder, expected: dict[str, Any]) -> list[str]:
    """The members in which a marker is not as expected."""
    return [key for key, value in expected.items() if folder.document.get(key) != value]
