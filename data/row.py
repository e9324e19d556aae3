"""A row: what one line of JSON, one line of a table or one row of a parquet file holds, by column."""

import math
import re
from collections.abc import Iterable
from typing import Any

REPLACEMENT = "\ufffd"
"""What stands for half of a surrogate pair, which JSON can spell, but which is not a character."""
OTHER_FIELDS = "name others with --field, for every --corpus at once or for each"
"""What to do about a column that does not exist, or does not hold text."""
_HALVES = re.compile("[\ud800-\udfff]")


class Row(dict[str, Any]):
    """Values by column, and the place that they come from, such as `a.jsonl, line 3`, for messages."""

    __slots__ = ("place",)

    def __init__(self, values: Any, place: str) -> None:
        super().__init__(values)
        self.place = place


def names_in(row: Iterable[str]) -> str:
    """Return the names of the columns for a message."""
    names = [repr(name) for name in row]
    return ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "") if names else "none"


def is_missing(value: Any) -> bool:
    """Return whether a value says that there is none: null, or NaN, as pandas writes it."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def with_whole_characters(value: Any) -> Any:
    """Return a JSON value in which REPLACEMENT stands for every unpaired surrogate; tokenizers and files refuse those."""
    if isinstance(value, str):
        return value if _is_whole(value) else _HALVES.sub(REPLACEMENT, value)
    if isinstance(value, list):
        return [with_whole_characters(part) for part in value]
    if isinstance(value, dict):
        return {with_whole_characters(name): with_whole_characters(part) for name, part in value.items()}
    return value


def _is_whole(text: str) -> bool:
    try:
        text.encode()  # ten times as fast as a search
    except UnicodeEncodeError:
        return False
    return True
