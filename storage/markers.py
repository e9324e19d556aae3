"""Markers: the documents of segments and shards name their place, and a folder can be opened only in that place."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import compress
from typing import Any

from ..errors import CacheMismatchError
from ..runtime.durable import is_there
from .documents.seal import MAXIMUM_BYTES
from .inventory import document_name
from .layout import ShardRange
from .reading import PublishedFolder
from .stores.place import Place, Where, place_of

REQUESTS = 32
"""The number of documents that we request at once from an object store."""


def marker_members(place: ShardRange, parent: str) -> dict[str, Any]:
    """Return the members that every marker has, by name."""
    return {"parent": parent, "split": place.split, "number": place.number, "start": place.start, "stop": place.stop}


def open_marked(path: Where, place: ShardRange, parent: str) -> PublishedFolder:
    """Return the folder of this segment or shard of this cache.

    Raises CacheMismatchError for a folder of another cache or another range (foreign, swapped), CacheDamagedError for a
    folder whose document was changed.
    """
    folder = PublishedFolder(path, "marker")
    expected = marker_members(place, parent)
    if folder.path.bucket is not None and _different(folder, expected):  # the mirror may hold one of an earlier cache
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
    """Return the shards of `table` that are published in the folder `parent`, without checking their content.

    We list the folder once. From an object store we fetch the markers that the mirror lacks, many at a time.
    """
    folder = place_of(parent)
    names = set(folder.names())
    likely = [place for place in table if place.name in names]
    if folder.bucket is None:
        return {place for place in likely if _has_marker(folder / place.name)}
    with ThreadPoolExecutor(REQUESTS, thread_name_prefix="markers") as pool:
        return set(compress(likely, pool.map(lambda place: _has_marker(folder / place.name), likely)))


def open_published(
    parent: Where, table: Sequence[ShardRange], digest: str
) -> Iterator[tuple[ShardRange, PublishedFolder]]:
    """Yield the shards of `table` that are published in the folder `parent`, in table order, opened by `open_marked`."""
    folder, there = place_of(parent), published(parent, table)
    for place in table:
        if place in there:
            yield place, open_marked(folder / place.name, place, digest)


def _has_marker(folder: Place) -> bool:
    """Return whether a listed folder has its marker; if it is in an object store, the mirror then has the marker too."""
    name = document_name("marker")
    if is_there(folder.local / name):
        return True
    if folder.bucket is None:
        return False
    try:
        folder.fetch(name, MAXIMUM_BYTES)
    except FileNotFoundError:
        return False
    return True


def _different(folder: PublishedFolder, expected: dict[str, Any]) -> list[str]:
    """Return the members of a marker that are not as expected."""
    return [key for key, value in expected.items() if folder.document.get(key) != value]
