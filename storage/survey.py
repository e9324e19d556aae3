"""What lies in a cache: published folders in their places, and everything that has no business there."""

import re
from dataclasses import dataclass

from .layout import ShardRange
from .stores.place import Place, Where, place_of

SINGLE = {"plan": "plan", "calibration": "calibration"}
GROUPS = {"extents": "extent", "segments": "marker", "shards": "marker"}
_MARKED = re.compile("(validation|train)-([0-9]{6,18})")


@dataclass(frozen=True, slots=True)
class Survey:
    """Paths relative to the cache, with `/`."""

    folders: dict[str, str]
    """What stands in the place of a published folder -> its kind; not opened yet."""
    strangers: list[str]
    """What no reader looks at and nobody published."""
    leftovers: list[str]
    """Names that begin with a dot: no part of the cache, such as the staging folder of a dump that runs or was killed."""


def survey(root: Where) -> Survey:
    """List the cache, without opening anything. OSError where it cannot be listed."""
    found, place = Survey({}, [], []), place_of(root)
    for name in place.names():
        if name in GROUPS and _is_folder(place / name):
            for inner in (place / name).names():
                _place(found, f"{name}/{inner}", GROUPS[name] if _is_numbered(name, inner) else None)
        else:
            _place(found, name, SINGLE.get(name))
    return found


def numbered(name: str) -> tuple[str, int]:
    """(split, number) of a segment or shard by the last part of its path, such as `shards/train-000003`."""
    matched = _MARKED.fullmatch(name.rpartition("/")[2])
    assert matched is not None
    return matched[1], int(matched[2])


def _is_folder(place: Place) -> bool:
    return place.bucket is not None or (place.local.is_dir() and not place.local.is_symlink())


def _place(found: Survey, name: str, kind: str | None) -> None:
    if kind is not None:
        found.folders[name] = kind
    elif name.rpartition("/")[2].startswith("."):
        found.leftovers.append(name)
    else:
        found.strangers.append(name)


def _is_numbered(group: str, name: str) -> bool:
    """Whether a name is one that a writer gives: six digits, more only where they are needed."""
    if group == "extents":
        return bool(re.fullmatch("[0-9]{6,18}", name)) and name == f"{int(name):06d}"
    return bool(_MARKED.fullmatch(name)) and name == ShardRange(*numbered(name), 0, 0).name
