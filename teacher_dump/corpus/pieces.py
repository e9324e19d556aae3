"""Cut a long text into pieces that a tokenizer turns into the same ids as the whole.

A tokenizer takes many times the memory of the text that it is given at once. Most tokenizers look at words only, and their ids do
not change if we cut before the white space between two words. We do not rely on it: at each cut we compare the ids of a window
across it with the ids of its halves.
"""

import re
from collections.abc import Iterator
from itertools import islice

from .plain_text import EncodeBatch

PIECE = 2**16
"""The number of characters from which a text is cut, and about the length of a piece."""
WINDOW = 256
"""The number of characters before and after a cut that we compare."""
TRIES = 32
"""The number of places that we try for one cut; a tokenizer that joins words over white space gets the whole rest."""
_BETWEEN_WORDS = re.compile(r"(?<=\S)\s(?=\S)")


def in_pieces(text: str, encode: EncodeBatch) -> Iterator[str]:
    """Yield the pieces of a text, in order; a short text is one piece."""
    start = 0
    while len(text) - start > PIECE and (cut := _cut(text, start + PIECE, encode)) is not None:
        yield text[start:cut]
        start = cut
    yield text[start:]


def _cut(text: str, least: int, encode: EncodeBatch) -> int | None:
    """Return the first place from `least` on where the ids of two pieces are the ids of the whole; None if none is found."""
    for found in islice(_BETWEEN_WORDS.finditer(text, least), TRIES):
        place = found.start()
        before, after = text[max(0, place - WINDOW) : place], text[place : place + WINDOW]
        left, right, whole = encode([before, after, before + after])
        if left + right == whole:
            return place
    return None
