"""The order of documents: several streams interleaved by weight, then a seeded shuffle buffer.

Both are pure functions of what comes in, the weights, the size of the buffer and the seed, and hold no more than the buffer:
an index into the resulting stream therefore means the same document in every run, which is what a cursor needs. All chance
is SHA-256 of what it is for, the seed and a counter, so no version of a library can change it.
"""

import hashlib
import math
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import count
from typing import TypeVar

T = TypeVar("T")


def seeded_draw(purpose: str, seed: int, index: int) -> int:
    """A number of 64 bits that is a function of its arguments alone."""
    digest = hashlib.sha256(f"miniend {purpose} {seed} {index}".encode()).digest()
    return int.from_bytes(digest[:8], "little")


def schedule(weights: Sequence[float], seed: int) -> Iterator[int]:
    """Which stream gives item 0, 1, 2, ...: endless indices into the positive `weights`.

    After n items stream i has given n * weights[i] / sum(weights) of them, within one. This is earliest deadline first over
    the windows of proportionate fairness (Baruah, Cohen, Plaxton, Varvel, Algorithmica 15, 1996): item j of a stream with
    share s of the whole stands at a position from floor(j / s) to before ceil((j + 1) / s). The seed decides between equal
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
    """(first position, position to stand before, rank among equal deadlines, stream) of a stream's item."""
    total, share = sum(shares), shares[stream]
    release, deadline = number * total // share, -(-(number + 1) * total // share)
    return release, deadline, seeded_draw(f"mix {stream}", seed, number), stream


def _whole_numbers(weights: Sequence[float]) -> list[int]:
    """Integers in the proportion of the weights, taken as the decimals that they were typed as: no rounding anywhere."""
    exact = [Fraction(repr(float(weight))) for weight in weights]
    scale = math.lcm(*(weight.denominator for weight in exact))
    return [int(weight * scale) for weight in exact]


def interleaved(streams: Sequence[Iterator[T]], weights: Sequence[float], seed: int) -> Iterator[T]:
    """Every item of every stream, by `schedule`; when a stream has ended, the others go on in a schedule of their own."""
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
    """Every item once, a seeded pick from a buffer of `size` each time, as `datasets` shuffles streams; 0 keeps the order.

    An item comes at most size - 1 places too early; the first n depend on no more than the first n + size of `items`.
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
    """Take one out; the last takes its place."""
    place = draw % len(waiting)
    waiting[place], waiting[-1] = waiting[-1], waiting[place]
    return waiting.pop()
