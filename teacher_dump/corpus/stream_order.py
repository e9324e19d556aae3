"""The order of documents: interleave several streams by weight, then shuffle them in a seeded buffer.

Both are pure functions of their inputs, the weights, the size of the buffer and the seed, and hold only the buffer in memory.
So an index into the resulting stream means the same document in every run, as a cursor needs. All random numbers are the
SHA-256 of their purpose, the seed and a counter, so that a library's version cannot change them.
"""

import hashlib
import math
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import count
from typing import TypeVar

T = TypeVar("T")


def seeded_draw(purpose: str, seed: int, index: int) -> int:
    """Return a random number of 64 bits that depends only on the arguments."""
    digest = hashlib.sha256(f"miniend {purpose} {seed} {index}".encode()).digest()
    return int.from_bytes(digest[:8], "little")


def schedule(weights: Sequence[float], seed: int) -> Iterator[int]:
    """Yield, without end, which stream gives item 0, 1, 2, ..., as indices into the positive `weights`.

    After n items stream i has given n * weights[i] / sum(weights) of them, within one. This is earliest deadline first over
    the windows of proportionate fairness (Baruah, Cohen, Plaxton, Varvel, Algorithmica 15, 1996): the position of item j of a
    stream with share s of the whole is at least floor(j / s) and below ceil((j + 1) / s). The seed decides between equal
    deadlines, so equal weights give a fresh random order in every round.
    """
    shares = _whole_numbers(weights)
    given = [0] * len(shares)
    turns = [_turn(shares, stream, 0, seed) for stream in range(len(shares))]
    for position in count():
        released = (stream for stream, (release, *_) in enumerate(turns) if release <= position)
        chosen = min(released, key=lambda stream: turns[stream][1:])
        given[chosen] += 1
        turns[chosen] = _turn(shares, chosen, given[chosen], seed)
        yield chosen


def _turn(shares: list[int], stream: int, number: int, seed: int) -> tuple[int, int, int, int]:
    """Return (first position, deadline that the position is below, rank among equal deadlines, stream) of a stream's item."""
    total, share = sum(shares), shares[stream]
    release, deadline = number * total // share, -(-(number + 1) * total // share)
    return release, deadline, seeded_draw(f"mix {stream}", seed, number), stream


def _whole_numbers(weights: Sequence[float]) -> list[int]:
    """Return integers in the exact proportion of the weights, which we read as the decimals that a user typed."""
    exact = [Fraction(repr(float(weight))) for weight in weights]
    scale = math.lcm(*(weight.denominator for weight in exact))
    return [int(weight * scale) for weight in exact]


def interleaved(streams: Sequence[Iterator[T]], weights: Sequence[float], seed: int) -> Iterator[T]:
    """Yield every item of every stream, by `schedule`; when a stream ends, the others continue in a new schedule."""
    going = list(range(len(streams)))
    while going:
        for turn in schedule([weights[stream] for stream in going], seed):
            try:
                item = next(streams[going[turn]])
            except StopIteration:
                del going[turn]
                break
            yield item


def shuffled(items: Iterable[T], size: int, seed: int) -> Iterator[T]:
    """Yield every item once, each a seeded pick from a buffer of `size`, as `datasets` shuffles streams; 0 keeps the order.

    An item comes at most size - 1 places too early. The first n depend only on the first n + size of `items`.
    """
    if not size:
        yield from items
        return
    waiting: list[T] = []
    draws = (seeded_draw("shuffle", seed, emitted) for emitted in count())
    for item in items:
        waiting.append(item)
        if len(waiting) == size:
            yield _pick(waiting, next(draws))
    while waiting:
        yield _pick(waiting, next(draws))


def _pick(waiting: list[T], draw: int) -> T:
    """Remove one item and return it; the last item takes its place."""
    place = draw % len(waiting)
    waiting[place], waiting[-1] = waiting[-1], waiting[place]
    return waiting.pop()
