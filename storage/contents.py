"""Check the columns of a folder against what its documents list (SPEC.md, section 5).

Storage knows neither kinds of signals nor families of models. It compares a calibration's arrays and a shard's columns with the
codes that the calibration lists. `cache/contents.py` compares these codes with the kinds. `check_values` compares a column's
integers with their range.
"""

from collections.abc import Sequence
from typing import NoReturn

import numpy as np

from ..errors import damaged
from .columns.columns import Values
from .columns.metadata import DTYPES
from .documents.calibration import Calibration, SiteEntry
from .documents.marker import SegmentsMarker, ShardMarker
from .documents.plan import Plan
from .reading import PublishedFolder

INTEGERS = tuple(dtype for dtype in DTYPES if "int" in dtype)
FLOATS = ("float32",)

Expected = dict[str, tuple[str, list[int]]]
"""Column name -> axis and shape."""


def read_calibration(folder: PublishedFolder, plan: Plan) -> Calibration:
    """Return the calibration. Raise CacheDamagedError unless it describes the plan's sites and has the arrays of their codes."""
    calibration = folder.parsed(Calibration)
    for member, entries, names in (
        ("sites", calibration.sites, plan.signals.relations),
        ("hidden", calibration.hidden, plan.signals.hidden),
    ):
        if tuple(entry.site for entry in entries) != names:
            _damaged(folder, f"its {member} should be the plan's, {', '.join(names) or 'none'}")
    for entry in calibration.entries:
        _check_codes(folder, entry)
    return calibration


def read_shard(folder: PublishedFolder, calibration: Calibration) -> ShardMarker:
    """Return the marker. Raise CacheDamagedError unless the shard has the columns that its tokens and the codes ask for."""
    marker, expected = folder.parsed(ShardMarker), Expected()
    for axis, tokens in marker.tokens.items():
        expected[f"{axis}s.ids"] = (axis, [tokens])
        expected[f"{axis}s.offsets"] = ("example", [marker.count + 1])
    codes = [code for entry in calibration.entries for code in entry.codes.values()]
    require_axes(folder, marker, [code.axis for code in codes])
    expected |= {code.column: (code.axis, [code.rank, marker.tokens[code.axis]]) for code in codes}
    check_columns(folder, expected)
    return marker


def read_segments(folder: PublishedFolder) -> SegmentsMarker:
    """Return the marker. Raise CacheDamagedError unless every column of ids has its offsets.

    We take the number of tokens from the shape of the ids; `check_values` compares it with the offsets.
    """
    marker, expected = folder.parsed(SegmentsMarker), Expected()
    names = {name.rpartition(".")[0] for name in folder.columns}
    if not names:
        _damaged(folder, "it does not have a column of segments")
    for name in names:
        info = folder.columns.get(f"{name}.ids", {"shape": [0]})
        expected[f"{name}.ids"] = ("token", list(info["shape"])[:1])
        expected[f"{name}.offsets"] = ("example", [marker.count + 1])
    check_columns(folder, expected)
    return marker


def require_axes(folder: PublishedFolder, marker: ShardMarker, axes: Sequence[str]) -> None:
    """Raise CacheDamagedError unless a shard's tokens are counted on these axes."""
    if missing := [axis for axis in dict.fromkeys(axes) if axis not in marker.tokens]:
        wanted = ", ".join(dict.fromkeys(axes))
        _damaged(folder, f"its member tokens should count the tokens of {wanted}, but lacks {', '.join(missing)}")


def check_columns(folder: PublishedFolder, expected: Expected, dtypes: Sequence[str] = INTEGERS) -> None:
    """Raise CacheDamagedError unless a folder has these columns on their axes in their shapes, with one of these data types."""
    columns = folder.columns
    for name, (axis, shape) in expected.items():
        info = columns.get(name)
        if info is None:
            _damaged(folder, f"it lacks the column {name}")
        if (info["axis"], info["shape"]) != (axis, shape) or info["dtype"] not in dtypes:
            found = f"{info['dtype']} {info['shape']} on {info['axis']}"
            _damaged(folder, f"its column {name} should have the shape {shape} on {axis}, found {found}")


def check_values(folder: PublishedFolder, name: str, values: Values, ids: int) -> None:
    """Raise CacheDamagedError for integers of a shard's or segment's column that cannot be right.

    Offsets start from 0, never decrease and end where their tokens do; ids are in [0, ids). Other columns may hold any integer.
    """
    if name.endswith(".offsets"):
        counted = folder.columns.get(name.removesuffix("offsets") + "ids", {"shape": [0]})
        tokens, wide = counted["shape"][-1], values.astype(np.int64)
        if wide.ndim != 1 or len(wide) < 1 or wide[0] != 0 or wide[-1] != tokens or bool((np.diff(wide) < 0).any()):
            _damaged(folder, f"the offsets {name} should rise from 0 to {tokens:,}")
    if name.endswith(".ids") and values.size and not (values.min() >= 0 and int(values.max()) < ids):
        _damaged(folder, f"{name} should be between 0 and {ids - 1:,}, found {values.min()} to {values.max()}")


def _check_codes(folder: PublishedFolder, entry: SiteEntry) -> None:
    """Compare the arrays of a site's codes with the entry that lists them; the mean gives the width of a row."""
    for place, code in entry.codes.items():
        name, rank = f"{entry.site}.{place}", code.rank
        [width] = _shape(folder, f"{name}.mean")[:1] or [0]
        known = _shape(folder, f"{name}.token_ids")[:1]
        if not code.blocks or width % len(code.blocks) or rank > width:
            _damaged(folder, f"its code {name} has {width} columns for {len(code.blocks)} blocks of {rank} components")
        arrays: Expected = {
            f"{name}.mean": ("basis", [width]),
            f"{name}.synthesis": ("basis", [rank, width]),
            f"{name}.analysis": ("basis", [width, rank]),
            f"{name}.spread": ("basis", [rank]),
            f"{name}.token_means": ("basis", [*known, rank]),
        }
        if entry.predicted_from is not None:
            arrays[f"{name}.prediction"] = ("basis", [width, width])
        check_columns(folder, arrays, FLOATS)
        check_columns(folder, {f"{name}.token_ids": ("basis", known)})


def _shape(folder: PublishedFolder, column: str) -> list[int]:
    return list(folder.columns.get(column, {"shape": [0]})["shape"])


def _damaged(folder: PublishedFolder, what: str) -> NoReturn:
    raise damaged(folder.path, what)
