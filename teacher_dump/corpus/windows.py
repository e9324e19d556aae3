"""Join the tokens of overlapping windows of a text that cannot be cut between two words.

Chinese, a line of FASTA and base64 do not have white space. A window begins inside the one before it. Each has tokens near an end
that the whole text does not have: the earlier window near its last characters, the later one near its first. We join
them where both have the same tokens at the same places, AGREED before the joint and AGREED after it.
"""

from dataclasses import dataclass

from .plain_text import EncodeBatch, Token

OVERLAP = 4096
"""The number of characters that two windows share."""
AGREED = 8
SHIFTS = 16
"""The number of beginnings of the later window that we try, each a character later. A run of one letter needs the right one."""


@dataclass(frozen=True, slots=True)
class Joint:
    """The place where a window takes over from the one before it."""

    start: int
    """The character of the text at which the later window begins."""
    before: int
    """The number of tokens of the earlier window that come before the joint."""
    after: int
    """The number of tokens of the later window that do."""
    tokens: list[Token]
    """The tokens of the later window, with places in it."""


def find_joint(text: str, tokens: list[Token], size: int, next_stop: int, encode: EncodeBatch) -> Joint | None:
    """Return how the window that ends at `next_stop` continues the tokens of `text[:size]`; None if they do not agree."""
    for shift in range(SHIFTS):
        start = size - OVERLAP + shift
        first = next((number for number, token in enumerate(tokens) if token[1] >= start), len(tokens))
        shared = [(i, begin - start, end - start) for i, begin, end in tokens[first:]]
        if _agreement(shared, encode.tokens(text[start : min(next_stop, size + OVERLAP)])) is None:
            continue
        later = encode.tokens(text[start:next_stop])
        if (found := _agreement(shared, later)) is not None:
            return Joint(start, first + found[0], found[1], later)
    return None


def _agreement(earlier: list[Token], later: list[Token]) -> tuple[int, int] | None:
    """Return the places in both lists of the agreed tokens nearest to the middle of the earlier list; None without any."""
    place = {token: number for number, token in enumerate(later[: len(earlier) + OVERLAP])}
    for i in sorted(range(AGREED, len(earlier) - AGREED), key=lambda number: abs(2 * number - len(earlier))):
        j = place.get(earlier[i], 0)
        if j >= AGREED and earlier[i - AGREED : i + AGREED] == later[j - AGREED : j + AGREED]:
            return i, j
    return None
