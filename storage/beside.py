"""Files beside the published folders of a cache, for its user. They are not part of the cache, and no reader opens them."""

from ..errors import MiniEndError, in_one_line
from ..runtime.durable import leads_nowhere, write_durably
from .stores.place import Where, place_of

LARGEST = 2**20
"""The most bytes of such a file."""


def read_beside(root: Where, name: str) -> bytes | None:
    """Return the content of a file; None if it is not there. Raises MiniEndError for one that is too large to be ours."""
    place = place_of(root)
    if place.bucket is not None:
        stored = place.bucket.get(place.key_of(name), LARGEST)
        return None if stored is None else stored.data
    path = place.local / name
    try:
        if path.stat().st_size > LARGEST:
            raise MiniEndError(f"{path} has {path.stat().st_size:,} bytes, expected at most {LARGEST:,}; remove it")
        return path.read_bytes()
    except OSError as error:
        if leads_nowhere(error):
            return None
        raise MiniEndError(f"{path} cannot be read: {in_one_line(error)}; correct that, or remove it") from error


def write_beside(root: Where, name: str, content: bytes) -> None:
    """Write a file, whole or not at all, unless it has this content already."""
    if read_beside(root, name) == content:
        return
    place = place_of(root)
    if place.bucket is not None:
        place.writable().put(place.key_of(name), content)
    else:
        write_durably(place.local / name, content)
