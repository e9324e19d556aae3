"""Drop documents that came before, with all their texts: prompts and web pages are full of them.

The number of a document in the stream stays, so that cursors and the choice of validation documents do not depend on it. A digest
of 16 bytes is kept for each document, about 100 bytes of memory.
"""

from collections.abc import Iterable, Iterator
from hashlib import blake2b

from ...data.long_text import Text, parts_of


class _Duplicate(str):
    """An empty text."""

    __slots__ = ()


DUPLICATE = _Duplicate()
"""What takes the place of each text of a duplicate; packing counts and leaves it out."""


def without_duplicates(documents: Iterable[tuple[Text, ...]]) -> Iterator[tuple[Text, ...]]:
    """Yield every document, the second and later ones of the same texts as duplicates."""
    seen = set[bytes]()
    for document in documents:
        digest = _digest(document)
        if digest in seen:
            yield (DUPLICATE,) * len(document)
        else:
            seen.add(digest)
            yield document


def _digest(document: tuple[Text, ...]) -> bytes:
    digest = blake2b(digest_size=16)
    for text in document:
        length = 0
        for part in parts_of(text):
            data = part.encode("utf-8", "surrogatepass")
            length += len(data)
            digest.update(data)
        digest.update(length.to_bytes(8, "little"))  # so that texts cannot run into each other
    return digest.digest()
