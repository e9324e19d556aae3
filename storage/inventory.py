"""The files and columns that the document of a published folder lists, and the names that they may have."""

import re
from functools import lru_cache
from typing import Any

from .columns.metadata import DTYPES, LARGEST
from .documents.seal import KINDS
from .documents.values import is_axis

_DIGEST = re.compile("[0-9a-f]{64}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@,=+-]*")


def document_name(kind: str) -> str:
    """Return the file name of a document. Raises ValueError for an unknown kind."""
    if kind not in KINDS:
        raise ValueError(f"the kind of a published folder is one of {', '.join(KINDS)}, not {kind!r}")
    return f"{kind}.json"


@lru_cache(4096)  # folders of one cache have the same names
def check_name(name: str) -> None:
    """Raise ValueError unless `name` can be a column: one path segment of letters, digits and _ . @ , = + -."""
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"a column cannot be named {name!r}: expected a letter or digit, then letters, digits and _ . @ , = + -"
        )


@lru_cache(4096)
def check_path(path: str) -> None:
    """Raise ValueError unless `path` is relative, in its plainest form, and stays inside the folder."""
    if not path or path.startswith("/") or "\\" in path or "\0" in path or {"", ".", ".."} & set(path.split("/")):
        raise ValueError(f"the file path {path!r} is not a plain relative path")


def check_inventory(document: dict[str, Any], own_name: str) -> None:
    """Check that "files" and "columns" have the form that SPEC.md gives them.

    Raises ValueError, KeyError, TypeError or AttributeError otherwise.
    """
    for path, entry in document["files"].items():
        check_path(path)
        if path == own_name or type(entry["bytes"]) is not int or not _DIGEST.fullmatch(entry["sha256"]):
            raise ValueError(f"the entry of the file {path!r} is malformed")
    for name, info in document["columns"].items():
        check_name(name)
        numbers = [info["bytes"], *info["shape"]]
        sound = is_axis(info["axis"]) and info["dtype"] in DTYPES and f"{name}/zarr.json" in document["files"]
        sound = sound and len(info["shape"]) in (1, 2)
        if not sound or any(type(number) is not int or not 0 <= number <= LARGEST for number in numbers):
            raise ValueError(f"the entry of the column {name!r} is malformed")
