"""The files and columns that the document of a published folder lists, and the names that they may have."""

import re
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np

from .columns.metadata import DTYPES, LARGEST
from .documents.seal import KINDS
from .documents.values import is_axis

SMALL = 2**26
"""The bytes that the columns of any folder may have in memory, however few its files have."""
LARGEST_RATIO = 1000
"""How many times larger than all files the columns of a folder may be in memory; signals are packed two to twenty times."""
LARGEST_RAW = 2**28
"""The most bytes of a file that does not belong to a column; the tokenizers of T5-like models have up to 20 MB."""
METADATA, LARGEST_METADATA = "zarr.json", 2**16
LONGEST_PART, LONGEST_PATH = 255, 1024
"""The bytes that a name and a path inside a folder may have: file systems take no longer name, object stores no longer key."""
_DIGEST = re.compile("[0-9a-f]{64}")
_NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9_.@,=+-]{{0,{LONGEST_PART - 1}}}")


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
    """Raise ValueError unless `path` is relative, in its plainest form, stays inside the folder, and is one that systems have."""
    if not path or path.startswith("/") or "\\" in path or "\0" in path or {"", ".", ".."} & set(path.split("/")):
        raise ValueError(f"the file path {path!r} is not a plain relative path")
    if len(path.encode()) > LONGEST_PATH or max(len(part.encode()) for part in path.split("/")) > LONGEST_PART:
        raise ValueError(
            f"a file path of {len(path):,} characters is too long: expected at most {LONGEST_PATH} bytes, {LONGEST_PART} each "
            "between slashes"
        )


def check_inventory(document: dict[str, Any], own_name: str) -> None:
    """Check that "files" and "columns" have the form that SPEC.md gives them.

    Raises ValueError, KeyError, TypeError or AttributeError otherwise.
    """
    for path, entry in document["files"].items():
        check_path(path)
        whole = type(entry["bytes"]) is int and entry["bytes"] >= 0
        if path == own_name or not whole or not _DIGEST.fullmatch(entry["sha256"]):
            raise ValueError(f"the entry of the file {path!r} is malformed")
    for name, info in document["columns"].items():
        check_name(name)
        numbers = [info["bytes"], *info["shape"]]
        sound = is_axis(info["axis"]) and info["dtype"] in DTYPES and f"{name}/zarr.json" in document["files"]
        sound = sound and len(info["shape"]) in (1, 2)
        if not sound or any(type(number) is not int or not 0 <= number <= LARGEST for number in numbers):
            raise ValueError(f"the entry of the column {name!r} is malformed")
    _check_sizes(document["files"], document["columns"])


def _check_sizes(files: dict[str, Any], columns: dict[str, Any]) -> None:
    """Raise ValueError for files that are larger than what they hold, and for columns that are much larger than all files.

    A reader allocates what a column's shape says, and reads a file whole. So a small folder must not ask for much.
    """
    decoded = {name: prod(info["shape"]) * np.dtype(info["dtype"]).itemsize for name, info in columns.items()}
    listed = sum(entry["bytes"] for entry in files.values())
    if (whole := sum(decoded.values())) > SMALL + LARGEST_RATIO * listed:
        raise ValueError(f"columns of {whole:,} bytes cannot be packed into {listed:,}")
    for path, entry in files.items():
        name, _, inner = path.partition("/")
        most = (
            LARGEST_RAW if name not in decoded else LARGEST_METADATA if inner == METADATA else 2 * decoded[name] + SMALL
        )
        if entry["bytes"] > most:
            raise ValueError(f"the file {path!r} should have at most {most:,} bytes, found {entry['bytes']:,}")
