"""Leave out what a preset defines and no row uses: a file that switches off the last row of a cache means the cache too."""

from collections.abc import Iterator, Mapping
from typing import Any

Content = Mapping[str, Any]
SECTIONS = ("caches", "assistants")


def without_unused(merged: Content, own: Content) -> dict[str, Any]:
    """Return a file merged with its preset, without the preset's caches and assistants that no row needs.

    What the file itself names stays, so that a mistake there is told.
    """
    needed, kept = set(_needed(merged)), dict(merged)
    for section in SECTIONS:
        entries, named = _mapping(merged, section), _mapping(own, section)
        if section in merged and isinstance(merged[section], Mapping):
            kept[section] = {
                name: value for name, value in entries.items() if name in named or (section, name) in needed
            }
    return kept


def _needed(content: Content) -> Iterator[tuple[str, str]]:
    """Yield the caches of the rows that are on, the assistants that teach these caches, their caches, and so on."""
    caches, assistants = _mapping(content, "caches"), _mapping(content, "assistants")
    ahead, seen = [_option(row, "cache") for row in _mapping(content, "rows").values() if row is not False], set()
    while ahead:
        cache = ahead.pop()
        if cache is None or cache in seen:
            continue
        seen.add(cache)
        yield "caches", cache
        teacher = _option(caches.get(cache), "teacher")
        if teacher is not None:
            yield "assistants", teacher
            ahead.append(_option(assistants.get(teacher), "cache"))


def _mapping(content: Content, key: str) -> Mapping[str, Any]:
    value = content.get(key)
    return value if isinstance(value, Mapping) else {}


def _option(entry: Any, name: str) -> str | None:
    value = entry.get(name) if isinstance(entry, Mapping) else None
    return value if isinstance(value, str) else None
