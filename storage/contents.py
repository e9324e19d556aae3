"""What the columns of a sound folder must hold, by plan and calibration (SPEC.md, section 5).

`check_calibration`, `check_shard` and `check_segments` compare documents alone, whenever a cache is opened; `check_values`
holds a column's integers against their range when they are read.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import numpy as np

from ..errors import CacheDamagedError
from .columns.columns import Values
from .columns.metadata import DTYPES
from .documents.members import check_form
from .reading import PublishedFolder

INTEGERS = tuple(dtype for dtype in DTYPES if "int" in dtype)
ALL = ("query", "key", "value")
PLACES: dict[str, dict[str, tuple[str, Sequence[str]]]] = {
    "encoder.self": {"query_key_value": ("input", ALL)},
    "decoder.self": {"query_key_value": ("target", ALL)},
    "decoder.cross": {"query": ("target", ("query",)), "key_value": ("input", ("key", "value"))},
}
"""Per name of an attention site its code places: axis and blocks."""
HIDDEN: dict[str, dict[str, tuple[str, Sequence[str]]]] = {
    "encoder.hidden": {"hidden": ("input", ("hidden",))},
    "decoder.hidden": {"hidden": ("target", ("hidden",))},
}
"""The same of hidden states."""

_HEADS = {"logits.head.sizes": "target", "logits.head.codes": "entry", "logits.head.levels": "entry"}
_DRAWS = {"logits.draw.sizes": "target", "logits.draw.gaps": "entry", "logits.tail_entropies": "target"}
LOGIT_COLUMNS = {"top-k": _HEADS, "sampled": _DRAWS, "hybrid": _HEADS | _DRAWS}
"""Columns of the next-token distributions by kind, with their axis."""
TAIL_LEVELS = "logits.tail_levels"
"""The column of those that have other temperatures, [temperatures, targets]."""

Expected = dict[str, tuple[str, list[int]]]
"""Column name -> axis and shape."""


def check_calibration(folder: PublishedFolder, plan: Mapping[str, Any]) -> None:
    """Raise CacheDamagedError unless the calibration describes the plan's sites and has their columns."""
    check_form(folder.document, "calibration", str(folder.path))
    if any(len(bounds) != 2 for bounds in folder.document["examples"].values()):
        _damaged(folder, "its ranges of examples should have a first and a last one")
    for member, planned in (("sites", "relations"), ("hidden", "hidden")):
        names = plan["signals"][planned]
        if [site["site"] for site in folder.document[member]] != names:
            _damaged(folder, f"its {member} should be those of the plan, {', '.join(names) or 'none'}")
    for site in folder.document["sites"]:
        _check_site(folder, site, plan["teacher"]["facts"])
    for site in folder.document["hidden"]:
        _check_codes(folder, site, HIDDEN, plan["teacher"]["facts"]["d_model"])
    if plan["signals"]["logits"]:
        rows, ids = plan["teacher"]["facts"]["vocab_rows"], plan["tokenizer"]["size"]
        _check_columns(folder, {"logits.mean_probability": ("basis", [rows])}, ("float32",))
        _check_columns(folder, {"logits.order": ("basis", [ids])})


def check_shard(folder: PublishedFolder, plan: Mapping[str, Any], calibration: Mapping[str, Any]) -> None:
    """Raise CacheDamagedError unless the marker has its members and the columns that plan and calibration ask for."""
    check_form(folder.document, "shard", str(folder.path))
    _check_columns(folder, shard_columns(folder.document, plan, calibration))


def check_segments(folder: PublishedFolder, plan: Mapping[str, Any]) -> None:
    """The same for raw segments; how many tokens they have is for their offsets to say."""
    check_form(folder.document, "segments", str(folder.path))
    expected: Expected = {}
    for name in segment_names(plan):
        info = folder.columns.get(f"{name}.ids", {"shape": [0]})
        expected[f"{name}.ids"] = ("token", list(info["shape"])[:1])
        expected[f"{name}.offsets"] = ("example", [folder.document["stop"] - folder.document["start"] + 1])
    _check_columns(folder, expected)


def segment_names(plan: Mapping[str, Any]) -> tuple[str, ...]:
    """What the raw segments of a plan's objective are called."""
    return ("inputs", "targets") if plan["objective"]["kind"] == "pairs" else ("segments",)


def shard_columns(marker: Mapping[str, Any], plan: Mapping[str, Any], calibration: Mapping[str, Any]) -> Expected:
    """Every column that a shard must have."""
    tokens, expected = marker["tokens"], {}
    for axis in ("input", "target"):
        expected[f"{axis}s.ids"] = (axis, [tokens[axis]])
        expected[f"{axis}s.offsets"] = ("example", [marker["stop"] - marker["start"] + 1])
    for site in (*calibration["sites"], *calibration["hidden"]):
        for code in site["codes"].values():
            expected[code["column"]] = (code["axis"], [code["rank"], tokens[code["axis"]]])
    return expected | logits_columns(marker, plan["signals"]["logits"])


def logits_columns(marker: Mapping[str, Any], signal: Mapping[str, Any] | None) -> Expected:
    """The columns of the next-token distributions; how many entries they have is for their sizes to say."""
    expected: Expected = {}
    for name, axis in LOGIT_COLUMNS[signal["kind"]].items() if signal else ():
        info = marker["columns"].get(name, {"shape": [0]})
        expected[name] = (axis, [marker["tokens"]["target"]] if axis == "target" else list(info["shape"])[:1])
    if signal and signal["temperatures"]:
        expected[TAIL_LEVELS] = ("target", [len(signal["temperatures"]), marker["tokens"]["target"]])
    return expected


def check_values(folder: PublishedFolder, name: str, values: Values, ids: int) -> None:
    """Raise CacheDamagedError for integers of a shard's or segment's column that cannot be right.

    Offsets begin at 0, never decrease and end where their tokens do; ids lie in [0, ids). Other columns may hold any integer.
    """
    if name.endswith(".offsets"):
        counted = folder.columns.get(name.removesuffix("offsets") + "ids", {"shape": [0]})
        tokens, wide = counted["shape"][-1], values.astype(np.int64)
        if wide.ndim != 1 or len(wide) < 1 or wide[0] != 0 or wide[-1] != tokens or bool((np.diff(wide) < 0).any()):
            _damaged(folder, f"the offsets {name} should rise from 0 to {tokens:,}")
    if name.endswith(".ids") and values.size and not (values.min() >= 0 and int(values.max()) < ids):
        _damaged(folder, f"{name} should lie between 0 and {ids - 1:,}, found {values.min()} to {values.max()}")


def _check_site(folder: PublishedFolder, site: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
    inner = site["inner"]
    if inner != facts["heads"] * facts["d_kv"] or inner % site["heads"]:
        _damaged(folder, f"its site {site['site']} has {inner} columns in {site['heads']} heads")
    _check_codes(folder, site, PLACES, inner)
    kinds = {*ALL, "query_key"} if site["site"].startswith("decoder.cross@") else set(ALL)
    if any(set(site[member]) != kinds for member in ("alpha", "relative_entropy", "published_entropy")):
        _damaged(folder, f"its site {site['site']} should tell of {', '.join(sorted(kinds))}")


def _check_codes(
    folder: PublishedFolder,
    site: Mapping[str, Any],
    places: Mapping[str, Mapping[str, tuple[str, Sequence[str]]]],
    inner: int,
) -> None:
    name, _, layer = site["site"].partition("@")
    codes = site["codes"]
    if not re.fullmatch("[0-9]{1,6}", layer) or set(codes) != set(places.get(name, {"": None})):
        _damaged(folder, f"its site {site['site']} should be one of {', '.join(places)} with its codes")
    expected: Expected = {}
    for place, (axis, blocks) in places[name].items():
        code, column = codes[place], f"{site['site']}.{place}"
        stored = f"hidden.{site['site']}" if name in HIDDEN else f"relations.{column}"
        if (code["axis"], code["blocks"], code["column"]) != (axis, list(blocks), stored):
            _damaged(folder, f"its code {column} should lie on the axis {axis} with the blocks {', '.join(blocks)}")
        width = inner * len(blocks)
        rank, known = code["rank"], list(folder.columns.get(f"{column}.token_ids", {"shape": [0]})["shape"])[:1]
        expected[f"{column}.mean"] = ("basis", [width])
        expected[f"{column}.synthesis"] = ("basis", [rank, width])
        expected[f"{column}.analysis"] = ("basis", [width, rank])
        expected[f"{column}.spread"] = ("basis", [rank])
        expected[f"{column}.token_means"] = ("basis", [*known, rank])
        _check_columns(folder, {f"{column}.token_ids": ("basis", known)})
    _check_columns(folder, expected, ("float32",))


def _check_columns(folder: PublishedFolder, expected: Expected, dtypes: Sequence[str] = INTEGERS) -> None:
    for name, (axis, shape) in expected.items():
        info = folder.columns.get(name)
        if info is None:
            _damaged(folder, f"it lacks the column {name}")
        if (info["axis"], info["shape"]) != (axis, shape) or info["dtype"] not in dtypes:
            found = f"{info['dtype']} {info['shape']} on {info['axis']}"
            _damaged(folder, f"its column {name} should have the shape {shape} on {axis}, found {found}")


def _damaged(folder: PublishedFolder, what: str) -> NoReturn:
    raise CacheDamagedError(f"{folder.path} is damaged: {what}. Restore the folder, or dump it again")
