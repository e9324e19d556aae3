"""Published folders: columns and raw files under one sealed document that lists each file with length and SHA-256.

`publish_folder` writes one, whole or not at all; `PublishedFolder` (reading.py) reads it. We read back and compare what we
wrote before anybody can see it. A codec that returns wrong values would not raise an error.
"""

import hashlib
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from ..errors import CacheMismatchError, MiniEndError
from ..runtime.listing import everything_below
from ..runtime.sparingly import Sparingly
from ..runtime.stopping import held_back
from .columns.columns import Column, Values, open_column, read_column, write_column
from .documents.seal import document_digest, seal, unseal
from .inventory import check_name, check_path, document_name
from .publishing.publish import publish, remove_abandoned, staging
from .publishing.upload import publish_remotely
from .reading import PublishedFolder, folder_exists
from .stores.place import Place, Where, place_of

__all__ = ["PublishedFolder", "folder_exists", "publish_folder", "publish_or_accept", "same_content"]

NOTHING: Mapping[str, Any] = MappingProxyType({})
_cleaned: dict[Path, Sparingly] = {}
"""When which folders were looked through for what dead writers left; one of all shards takes long."""


@held_back()
def publish_folder(
    target: Where,
    kind: str,
    body: dict[str, Any],
    columns: Mapping[str, Column] = NOTHING,
    files: Mapping[str, bytes] = NOTHING,
    codec: str = "pcodec",
) -> str:
    """Write a folder of this kind, publish it as `target`, and return the digest of its document.

    `body` holds the document's own members, `files` raw bytes by relative path. Equal arguments give equal bytes. If
    `target` exists with the same content, it stays and we return its digest. For an object store we build the folder
    beside its place in the mirror and upload it from there.
    Raises CacheMismatchError if `target` exists with other content, CacheDamagedError if its document is damaged,
    MiniEndError if the disk is full or a column does not read back, ValueError for names that cannot be used.
    """
    _check_arguments(kind, body, columns, files)
    place = place_of(target)
    parent = place.local.parent
    _cleaned.setdefault(parent, Sparingly())(partial(remove_abandoned, parent))
    with staging(place.local) as staged:
        for name in sorted(columns):
            write_column(staged, name, columns[name], codec)
            _check_written(columns[name].values, read_column(staged, name), name)
        for name, data in sorted(files.items()):
            path = staged / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        document = seal(kind, {**body, **_inventory(staged, columns)})
        (staged / document_name(kind)).write_bytes(document)
        if _publish(staged, place, kind):
            return document_digest(unseal(document, kind, str(place)))
        return _digest_of_equal(place, staged, kind)


def _publish(staged: Path, target: Place, kind: str) -> bool:
    """Publish the staged folder as `target` and return True; return False if one is published there already."""
    if target.bucket is None:
        return publish(staged, target.local)
    return publish_remotely(staged, target, document_name(kind))


def publish_or_accept(
    target: Where,
    kind: str,
    body: dict[str, Any],
    columns: Mapping[str, Column] = NOTHING,
    files: Mapping[str, bytes] = NOTHING,
    codec: str = "pcodec",
) -> PublishedFolder:
    """Publish like `publish_folder` and return the folder. If another writer was first, return its folder, whatever it holds.

    The caller checks what it holds. Raises the other errors of `publish_folder`.
    """
    try:
        publish_folder(target, kind, body, columns, files, codec)
    except CacheMismatchError:
        if not folder_exists(target, kind):
            raise
    return PublishedFolder(target, kind)


def _check_arguments(
    kind: str, body: Mapping[str, Any], columns: Mapping[str, Column], files: Mapping[str, bytes]
) -> None:
    """Raise ValueError for names that clash, that leave the folder, or that the format itself uses."""
    for name in columns:
        check_name(name)
        if name == document_name(kind):
            raise ValueError(f"a column cannot be named {name!r} like the document")
    for path in files:
        check_path(path)
        if path == document_name(kind) or path.split("/")[0] in columns:
            raise ValueError(f"the file {path!r} has the place of the document or of a column")
    if taken := sorted({"files", "columns"} & set(body)):
        raise ValueError(f"publish_folder writes these members itself, so the body cannot: {', '.join(taken)}")
    seal(kind, dict(body))


def _check_written(values: Values, stored: Values, name: str) -> None:
    """Raise MiniEndError unless the stored column equals the given one: integers by value, floats by their bits."""
    same = values.shape == stored.shape
    if same and values.dtype.kind == "f":
        same = values.astype(stored.dtype, copy=False).tobytes() == stored.tobytes()
    elif same:
        same = np.array_equal(values, stored)
    if not same:
        raise MiniEndError(
            f"the column {name} did not read back as it was written, so nothing was published: "
            "check memory and disk, and report it with the versions of zarr, numcodecs and pcodec"
        )


def _inventory(staged: Path, columns: Mapping[str, Column]) -> dict[str, Any]:
    """Return the members "files" and "columns" of the document that describes the folder in `staged`."""
    files = {}
    for path in everything_below(staged):
        if path.is_file():
            data = path.read_bytes()
            files[path.relative_to(staged).as_posix()] = {
                "bytes": len(data),
                "sha256": hashlib.sha256(data).hexdigest(),
            }
    described = {}
    for name, column in columns.items():
        stored = open_column(staged, name)
        described[name] = {
            "axis": column.axis,
            "dtype": stored.dtype.name,
            "shape": list(stored.shape),
            "bytes": sum(int(str(entry["bytes"])) for path, entry in files.items() if path.startswith(f"{name}/")),
        }
    return {"files": files, "columns": described}


def _digest_of_equal(target: Place, staged: Path, kind: str) -> str:
    """Return the digest of the folder published at `target`. Raise CacheMismatchError unless it holds what `staged` holds.

    Compressed bytes may differ, because another version of a codec library wrote them; the values may not.
    """
    theirs, ours = PublishedFolder(target, kind, fresh=True), PublishedFolder(staged, kind)
    if theirs.digest != ours.digest and not same_content(theirs, ours, ours.columns):
        raise CacheMismatchError(
            f"{target} exists already and holds something else (digest {theirs.digest[:12]}, ours {ours.digest[:12]}): "
            "use another cache directory, or remove that folder if it is not wanted"
        )
    return theirs.digest


def same_content(one: PublishedFolder, other: PublishedFolder, columns: Iterable[str]) -> bool:
    """Return whether bodies, raw files and the forms of all columns agree, and the values of these columns."""
    if _comparable(one) != _comparable(other):
        return False
    return all(one.column(name).tobytes() == other.column(name).tobytes() for name in columns)


def _comparable(folder: PublishedFolder) -> dict[str, Any]:
    """Return the document without what depends on how columns were compressed."""
    document = {key: value for key, value in folder.document.items() if key not in ("sha256", "files", "columns")}
    columns = {
        name: {key: value for key, value in info.items() if key != "bytes"} for name, info in folder.columns.items()
    }
    raw = {path: entry for path, entry in folder.document["files"].items() if path.split("/")[0] not in columns}
    return {"body": document, "columns": columns, "files": raw}
