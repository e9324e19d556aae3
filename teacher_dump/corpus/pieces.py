"""Cut a long text into pieces that a tokenizer turns into the same ids as the whole.

A tokenizer takes many times the memory of the text that it is given at once. Most tokenizers look at words only, and their ids do
not change if we cut before the white space between two words. We do not rely on it: at each cut we compare the ids of a window
across it with the ids of its halves. Where no white space comes, we join overlapping windows (windows.py).

Where two windows do not agree, a longer one is tried, up to LONGEST characters. After that the text is cut all the same, and the
piece says so: a few of its ids may not be the ids of the whole.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from .plain_text import EncodeBatch, Token
from .windows import OVERLAP, find_joint

PIECE = 2**16
"""The number of characters from which a text is cut, and about the length of a piece."""
REACH = 2**16
"""The number of characters after those in which we look for white space."""
WINDOW = 256
"""The number of characters before and after a cut that we compare."""
TRIES = 32
"""The number of places that we try for one cut; a tokenizer that joins words over white space gets overlapping windows."""
LONGEST = 2**18
"""The number of characters of the longest window, which takes about 100 MB."""
_BETWEEN_WORDS = re.compile(r"(?<=\S)\s(?=\S)")


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a text: its characters, to be tokenized by themselves, or the ids that it has inside the text."""

    text: str
    ids: list[int] | None = None
    unproven: bool = False
    """Whether the ids where it ends may not be the ids of the whole."""

    def __len__(self) -> int:
        return len(self.text) if self.ids is None else len(self.ids)


class _Rest:
    """What is left of a text, of which the next characters are in memory."""

    def __init__(self, parts: Iterable[str]) -> None:
        self.text, self._parts, self.ended = "", iter(parts), False

    def fill(self, characters: int) -> None:
        """Have so many characters in memory, or all that are left."""
        parts, length = [self.text], len(self.text)
        while length <= characters and not self.ended:
            part = next(self._parts, None)
            self.ended = part is None
            parts.append(part or "")
            length += len(parts[-1])
        self.text = "".join(parts)

    def take(self, characters: int) -> str:
        """Return the next characters, and leave the others."""
        taken, self.text = self.text[:characters], self.text[characters:]
        return taken


def in_pieces(parts: Iterable[str], encode: EncodeBatch) -> Iterator[Piece]:
    """Yield the pieces of a text, in order; a short text is one piece, an empty one too."""
    rest = _Rest(parts)
    while True:
        size, safe = _end(rest, PIECE, encode)
        if safe:
            yield Piece(rest.take(size))
        else:
            yield from _in_windows(rest, size, encode)
        if rest.ended and not rest.text:
            return


def _end(rest: _Rest, least: int, encode: EncodeBatch) -> tuple[int, bool]:
    """Return where a piece of at least so many characters ends, and whether the whole has the same ids before and after it."""
    rest.fill(least + REACH + WINDOW)
    text, ahead = rest.text, least + REACH
    if len(text) <= least:
        return len(text), True
    for found in islice(_BETWEEN_WORDS.finditer(text, least, ahead), TRIES):
        place = found.start()
        before, after = text[max(0, place - WINDOW) : place], text[place : place + WINDOW]
        left, right, whole = encode([before, after, before + after])
        if left + right == whole:
            return place, True
    return (len(text), True) if len(text) <= ahead else (least, False)


def _in_windows(rest: _Rest, size: int, encode: EncodeBatch) -> Iterator[Piece]:
    """Yield pieces with ids until a safe place, or until no two windows agree."""
    tokens, first, safe = encode.tokens(rest.text[:size]), 0, False
    while not safe:
        stop, last = _end(rest, size - OVERLAP + PIECE, encode)
        if joint := find_joint(rest.text, tokens, size, stop, encode):
            yield Piece("", _ids(tokens[first : joint.before]))
            rest.take(joint.start)
            tokens, first, size, safe = joint.tokens, joint.after, stop - joint.start, last
        elif size < LONGEST:
            size, safe = _end(rest, min(2 * size, LONGEST), encode)
            known, tokens = tokens, encode.tokens(rest.text[:size])
            first = next((n for n, token in enumerate(tokens) if token[1:] >= known[first][1:]), 0) if known else 0
        else:
            break
    yield Piece("", _ids(tokens[first:]), unproven=not safe)
    rest.take(size)


def _ids(tokens: list[Token]) -> list[int]:
    return [token[0] for token in tokens]
