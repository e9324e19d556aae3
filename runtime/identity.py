"""Check whether a directory holds this run or another one: compare two JSON values, and say in one way what differs."""

import json
import re
from collections.abc import Collection, Mapping
from typing import Any

from ..errors import MiniEndError, RunMismatchError, shortened

ANOTHER_OUTPUT = "Use the same settings, or another --output"
"""What to do if an output directory holds another run."""
MOST_NAMED = 6
"""The number of differences that a message names."""

NOTHING_TYPED: Mapping[str, str] = {}


def require_same(
    subject: str,
    theirs: Mapping[str, Any],
    ours: Mapping[str, Any],
    remedy: str,
    error: type[MiniEndError] = RunMismatchError,
    *,
    typed: Mapping[str, str] = NOTHING_TYPED,
    derived: Collection[str] = (),
) -> None:
    """Raise `error` that names what differs between the settings in a directory and the settings of this run.

    `subject` says which directory holds what, for example `out holds another run`; `remedy` says what to do. Members that only
    the directory has do not count, because another version may have written them. `typed` gives by member what the user types to
    decide it. The members of `derived` follow from others, and are only named if nothing else differs.
    """
    if different := different_members(theirs, ours):
        primary = [text for text in different if not _is_below(text, derived)]
        different = [_as_typed(text, typed) for text in primary or different]
        raise error(f"{subject}: {'; '.join(different[:MOST_NAMED])}. {remedy}")


def different_members(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> list[str]:
    """Return the differences in the members that this run has, each as `path: there X, now Y`."""
    plain = json.loads(json.dumps(ours))
    return [text for key in plain for text in _differences(theirs.get(key), plain[key], key)]


def _as_typed(difference: str, typed: Mapping[str, str]) -> str:
    """Return a difference with the option that decides it: in the place of the member if it is that member, else after it."""
    member, _, values = difference.partition(": ")
    if member in typed:
        return f"{typed[member]}: {values}"
    whole = re.sub(r"\[[^]]*\]", "", member)  # of a list of objects, what decides each member of an object
    above = [name for name in typed if _is_below(whole, (name,))]
    return f"{difference} ({typed[max(above, key=len)]})" if above else difference


def _is_below(member: str, names: Collection[str]) -> bool:
    """Return whether a member, perhaps with more text after it, is one of `names` or a part of one."""
    return any(member == name or member.startswith((f"{name}.", f"{name}[", f"{name}:")) for name in names)


def _differences(theirs: Any, ours: Any, where: str) -> list[str]:
    """Return the leaves in which two JSON values differ; lists of objects are compared one by one."""
    if isinstance(theirs, Mapping) and isinstance(ours, Mapping):
        keys = sorted({*theirs, *ours})
        return [text for key in keys for text in _differences(theirs.get(key), ours.get(key), f"{where}.{key}")]
    if theirs != ours and _of_objects(theirs) and _of_objects(ours):
        return _list_differences(theirs, ours, where)
    return [] if theirs == ours else [f"{where}: there {shortened(str(theirs))}, now {shortened(str(ours))}"]


def _of_objects(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, Mapping) for item in value)


def _list_differences(theirs: list[Any], ours: list[Any], where: str) -> list[str]:
    if len(theirs) != len(ours):
        return [f"{where}: there {len(theirs)}, now {len(ours)} of them"]
    if sorted(map(_canonical, theirs)) == sorted(map(_canonical, ours)):
        return [f"{where}: the same {len(ours)} in another order"]
    return [
        text
        for number, (their, our) in enumerate(zip(theirs, ours, strict=True), start=1)
        for text in _differences(their, our, f"{where}[{our.get('name', number)}]")
    ]


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
