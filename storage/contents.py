"""What the columns of a sound folder must hold, by plan and calibration (SPEC.md, section 5).

`read_calibration`, `read_shard` and `read_segments` return a folder's document once it fits those that it depends on. They
read documents only, whenever a cache is opened. `check_values` compares a column's integers with their range.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

import numpy as np

from ..errors import damaged
from .columns.columns import Values
from .columns.metadata import DTYPES
from .documents.calibration import Calibration, SiteEntry
from .documents.marker import SegmentsMarker, ShardMarker
from .documents.parse import Record, parse_each
from .documents.plan import Plan, PlannedLogits, TeacherFacts
from .documents.values import Number, Width
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


@dataclass(frozen=True, kw_only=True, slots=True)
class _RelationEntry(Record):
    """What the entry of an attention site holds beside its codes."""

    inner: Width
    heads: Width
    alpha: Mapping[str, Number]
    relative_entropy: Mapping[str, Number]
    published_entropy: Mapping[str, Number]


def read_calibration(folder: PublishedFolder, plan: Plan) -> Calibration:
    """Return the calibration. Raise CacheDamagedError unless it describes the plan's sites and has their columns."""
    calibration = folder.parsed(Calibration)
    for member, entries, names in (
        ("sites", calibration.sites, plan.signals.relations),
        ("hidden", calibration.hidden, plan.signals.hidden),
    ):
        if tuple(entry.site for entry in entries) != names:
            _damaged(folder, f"its {member} should be those of the plan, {', '.join(names) or 'none'}")
    found = {str(place): entry.others for place, entry in enumerate(calibration.sites)}
    relations = parse_each(_RelationEntry, found, str(folder.path), "sites").values()
    for entry, relation in zip(calibration.sites, relations, strict=True):
        _check_site(folder, entry, relation, plan.teacher.facts)
    for entry in calibration.hidden:
        _check_codes(folder, entry, HIDDEN, plan.teacher.facts.d_model)
    if plan.signals.logits:
        _check_columns(folder, {"logits.mean_probability": ("basis", [plan.teacher.facts.vocab_rows])}, ("float32",))
        _check_columns(folder, {"logits.order": ("basis", [plan.tokenizer.size])})
    return calibration


def read_shard(folder: PublishedFolder, plan: Plan, calibration: Calibration) -> ShardMarker:
    """Return the marker. Raise CacheDamagedError unless the shard has the columns that plan and calibration ask for."""
    marker = folder.parsed(ShardMarker)
    axes = dict.fromkeys(
        ["input", "target", *(code.axis for entry in calibration.entries for code in entry.codes.values())]
    )
    if missing := [axis for axis in axes if axis not in marker.tokens]:
        _damaged(folder, f"its member tokens should count those of {', '.join(axes)}, but lacks {', '.join(missing)}")
    _check_columns(folder, shard_columns(folder, marker, plan, calibration))
    return marker


def read_segments(folder: PublishedFolder, plan: Plan) -> SegmentsMarker:
    """Return the marker. Raise CacheDamagedError unless the folder has the columns of raw segments.

    How many tokens the segments have is for their offsets to say.
    """
    marker, expected = folder.parsed(SegmentsMarker), Expected()
    for name in segment_names(plan):
        info = folder.columns.get(f"{name}.ids", {"shape": [0]})
        expected[f"{name}.ids"] = ("token", list(info["shape"])[:1])
        expected[f"{name}.offsets"] = ("example", [marker.count + 1])
    _check_columns(folder, expected)
    return marker


def segment_names(plan: Plan) -> tuple[str, ...]:
    """Return what the raw segments of a plan's task are called."""
    return ("inputs", "targets") if plan.task.pairs else ("segments",)


def shard_columns(folder: PublishedFolder, marker: ShardMarker, plan: Plan, calibration: Calibration) -> Expected:
    """Return every column that a shard must have."""
    tokens, expected = marker.tokens, Expected()
    for axis in ("input", "target"):
        expected[f"{axis}s.ids"] = (axis, [tokens[axis]])
        expected[f"{axis}s.offsets"] = ("example", [marker.count + 1])
    for entry in calibration.entries:
        for code in entry.codes.values():
            expected[code.column] = (code.axis, [code.rank, tokens[code.axis]])
    return expected | logits_columns(folder, marker, plan.signals.logits)


def logits_columns(folder: PublishedFolder, marker: ShardMarker, signal: PlannedLogits | None) -> Expected:
    """Return the columns of the next-token distributions; how many entries they have is for their sizes to say."""
    expected = Expected()
    for name, axis in LOGIT_COLUMNS[signal.kind].items() if signal else ():
        info = folder.columns.get(name, {"shape": [0]})
        expected[name] = (axis, [marker.tokens["target"]] if axis == "target" else list(info["shape"])[:1])
    if signal and signal.temperatures:
        expected[TAIL_LEVELS] = ("target", [len(signal.temperatures), marker.tokens["target"]])
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


def _check_site(folder: PublishedFolder, entry: SiteEntry, relation: _RelationEntry, facts: TeacherFacts) -> None:
    inner = relation.inner
    if inner != facts.heads * facts.d_kv or inner % relation.heads:
        _damaged(folder, f"its site {entry.site} has {inner} columns in {relation.heads} heads")
    _check_codes(folder, entry, PLACES, inner)
    kinds = {*ALL, "query_key"} if entry.site.startswith("decoder.cross@") else set(ALL)
    if any(
        set(by_kind) != kinds for by_kind in (relation.alpha, relation.relative_entropy, relation.published_entropy)
    ):
        _damaged(folder, f"its site {entry.site} should tell of {', '.join(sorted(kinds))}")


def _check_codes(
    folder: PublishedFolder,
    entry: SiteEntry,
    places: Mapping[str, Mapping[str, tuple[str, Sequence[str]]]],
    inner: int,
) -> None:
    name, _, layer = entry.site.partition("@")
    codes = entry.codes
    if not re.fullmatch("[0-9]{1,6}", layer) or set(codes) != set(places.get(name, {"": None})):
        _damaged(folder, f"its site {entry.site} should be one of {', '.join(places)} with its codes")
    expected: Expected = {}
    for place, (axis, blocks) in places[name].items():
        code, column = codes[place], f"{entry.site}.{place}"
        stored = f"hidden.{entry.site}" if name in HIDDEN else f"relations.{column}"
        if (code.axis, code.blocks, code.column) != (axis, tuple(blocks), stored):
            _damaged(folder, f"its code {column} should lie on the axis {axis} with the blocks {', '.join(blocks)}")
        width = inner * len(blocks)
        rank, known = code.rank, list(folder.columns.get(f"{column}.token_ids", {"shape": [0]})["shape"])[:1]
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
    raise damaged(folder.path, what)
