"""List a cache: the published folders in their places, and everything else."""

import re
from dataclasses import dataclass

from .layout import ShardRange
from .stores.place import Place, Where, place_of

SINGLE = {"plan": "plan", "calibration": "calibration", "filters": "filters"}
OPTIONS_FILE = "dump.yaml"
"""The file beside the published folders in which a dump writes its options for its user. It is not part of the cache."""
GROUPS = {"extents": "extent", "segments": "marker", "shards": "marker"}
BESIDE = (OPTIONS_FILE, "README.md", ".gitattributes", ".cache")
"""What is beside a cache: the options of its dump, and what a data set of the hub has; `.cache` is of its downloads."""
_MARKED = re.compile("(validation|train)-([0-9]{6,18})")


@dataclass(frozen=True, slots=True)
class Survey:
    """Paths relative to the cache, with `/`."""

    folders: dict[str, str]
    """Names in the place of a published folder -> the kind; not opened yet."""
    strangers: list[str]
    """Names that nobody published and no reader opens."""
    leftovers: list[str]
    """Names that start with a dot, such as the staging folder of a dump that runs or was killed. Readers ignore them."""


def survey(root: Where) -> Survey:
    """List the cache without opening anything. Raises OSError if it cannot be listed."""
    listed, place = Survey({}, [], []), place_of(root)
    for name in place.names():
        if name in BESIDE:
            continue
        if name in GROUPS and _is_folder(place / name):
            for inner in (place / name).names():
                _place(listed, f"{name}/{inner}", GROUPS[name] if _is_numbered(name, inner) else None)
        else:
            _place(listed, name, SINGLE.get(name))
    return listed


def numbered(name: str) -> tuple[str, int]:
    """Return (split, number) of a segment or shard from the last part of its path, such as `shards/train-000003`."""
    matched = _MARKED.fullmatch(name.rpartition("/")[2])
    assert matched is not None
    return matched[1], int(matched[2])


def _is_folder(place: Place) -> bool:
    return place.bucket is not None or (place.local.is_dir() and not place.local.is_symlink())


def _place(listed: Survey, name: str, kind: str | None) -> None:
    if kind is not None:
        listed.folders[name] = kind
    elif name.rpartition("/")[2].startswith("."):
        listed.leftovers.append(name)
    else:
        listed.strangers.append(name)


def _is_numbered(group: str, name: str) -> bool:
    """Return whether a writer would give this name: six digits, more only if the number needs them."""
    if group == "extents":
        return bool(re.fullmatch("[0-9]{6,18}", name)) and name == f"{int(name):06d}"
    return bool(_MARKED.fullmatch(name)) and name == ShardRange(*numbered(name), 0, 0).name
