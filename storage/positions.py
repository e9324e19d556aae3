"""Positions in a shard table as text: half-open ranges with commas, `0:4,7:9`; `:4` begins at 0, `7:` ends with the table."""

import re
import sys
from collections.abc import Iterable

from ..errors import ConfigurationError, shortened

MAXIMUM_SHARDS = 1_000_000
"""The largest number of shards of a cache, because the table of its shards is in memory."""
_RANGE = re.compile(r"([0-9]{0,18}):([0-9]{0,18})")
_END = sys.maxsize


def parse_ranges(text: str) -> list[range]:
    """Return the ranges that `text` names; a range `7:` ends at the largest integer.

    Raises ConfigurationError for another form and for an empty range.
    """
    return [_parse_range(part.strip()) for part in text.split(",")]


def positions_in(text: str, count: int) -> list[int]:
    """Return the positions that `text` names in a table of `count` shards, ascending.

    Raises ConfigurationError as `parse_ranges` does, and for a range that leaves the table.
    """
    positions: set[int] = set()
    for part in parse_ranges(text):
        if part.start >= count or count < part.stop < _END:
            raise ConfigurationError(f"--shards {text!r} are not all there: the table has {count} shards, 0:{count}")
        positions.update(range(part.start, min(part.stop, count)))
    return sorted(positions)


def positions_text(positions: Iterable[int]) -> str:
    """Return the shortest text of these positions; `positions_in` is the inverse."""
    ranges: list[list[int]] = []
    for position in sorted(positions):
        if ranges and ranges[-1][1] == position:
            ranges[-1][1] += 1
        else:
            ranges.append([position, position + 1])
    return ",".join(f"{start}:{stop}" for start, stop in ranges)


def _parse_range(text: str) -> range:
    form = _RANGE.fullmatch(text)
    if not form:
        raise ConfigurationError(
            f"--shards {shortened(repr(text))}: expected half-open ranges A:B, A: or :B, with commas between them"
        )
    positions = range(int(form[1] or 0), int(form[2] or _END))
    if not positions:
        raise ConfigurationError(f"--shards {text!r} are none: the end of a range is excluded")
    return positions
