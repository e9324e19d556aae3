"""Remove folders of a cache that nothing depends on, so that nobody ever sees half of one."""

import os
import shutil

from ..documents.seal import KINDS
from ..stores.bucket import Bucket
from ..stores.place import Place, Where, place_of
from .publish import staging


def discard(root: Where, *names: str) -> None:
    """Remove the folders of these names from a cache, in this order, with all that is published in them.

    Locally we move each folder away by one rename. In an object store we remove a folder's documents, last one first, before
    its data.
    """
    place = place_of(root)
    if place.bucket is None:
        _discard_locally(place, names)
        return
    for name in names:
        _discard_objects(place.writable(), place / name)
        shutil.rmtree((place / name).local, ignore_errors=True)


def _discard_locally(root: Place, names: tuple[str, ...]) -> None:
    with staging(root.local / "discarded") as aside:
        for path in (root.local / name for name in names):
            if path.exists():
                os.rename(path, aside / path.name)


def _discard_objects(bucket: Bucket, folder: Place) -> None:
    names = sorted(folder.files())
    documents = [name for name in names if name.rpartition("/")[2] in {f"{kind}.json" for kind in KINDS}]
    for name in reversed(documents):
        bucket.delete([folder.key_of(name)])
    bucket.delete([folder.key_of(name) for name in names if name not in documents])
