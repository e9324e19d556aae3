"""Sound documents of every kind, from the golden cache; and any others that the annotations allow."""

import json
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

from hypothesis import strategies as st

from miniend.storage.documents.calibration import Calibration
from miniend.storage.documents.extent import Extent
from miniend.storage.documents.marker import SegmentsMarker, ShardMarker
from miniend.storage.documents.parse import parse
from miniend.storage.documents.plan import Plan
from miniend.storage.documents.values import (
    AtLeastOne,
    Axis,
    Bin,
    CodecName,
    Counts,
    Digest,
    Entries,
    HiddenCode,
    Length,
    LogitKind,
    Natural,
    Number,
    Pipeline,
    Positive,
    PositiveNumber,
    ProperShare,
    Residues,
    Rows,
    Seed,
    Share,
    Split,
    TaskKind,
    TeacherDtype,
    Temperature,
    Threads,
    TokenId,
    Width,
)

GOLDEN = Path(__file__).parents[1] / "golden" / "version-2" / "cache"
FOLDERS = {
    Plan: "plan",
    Extent: "extents/000001",
    Calibration: "calibration",
    SegmentsMarker: "segments/train-000000",
    ShardMarker: "shards/train-000001",
}
LISTED = ("format", "version", "kind", "files", "columns")
"""Members that are not those of a kind; `sha256` is read as the digest."""

_numbers = st.floats(-1e299, 1e299) | st.integers(-(10**6), 10**6)
VALUES = {
    int: st.integers(-(2**40), 2**40),
    str: st.text(max_size=8),
    bool: st.booleans(),
    Natural: st.integers(0, 2**63 - 1),
    Positive: st.integers(1, 2**63 - 1),
    Bin: st.integers(-128, 4000),
    Length: st.integers(1, 2**20 - 1),
    Entries: st.integers(0, 2**20 - 1),
    Threads: st.integers(1, 2**16 - 1),
    Share: st.floats(0, 1),
    ProperShare: st.floats(1e-9, 1, exclude_max=True),
    AtLeastOne: st.floats(1, 1e299),
    TeacherDtype: st.sampled_from(["float32", "bfloat16"]),
    HiddenCode: st.sampled_from(["predicted", "separate"]),
    Temperature: st.sampled_from(["published", "calibrated"]),
    Seed: st.integers(0, 2**200),
    TokenId: st.integers(0, 2**24 - 1),
    Rows: st.integers(1, 2**24 - 1),
    Width: st.integers(1, 2**20 - 1),
    Number: _numbers,
    PositiveNumber: st.floats(1e-30, 1e299),
    Digest: st.text("0123456789abcdef", min_size=64, max_size=64),
    Counts: st.lists(st.integers(0, 10**6), max_size=4).map(lambda counts: " ".join(map(str, counts))),
    Axis: st.sampled_from(["input", "target", "tokens_of_2"]),
    CodecName: st.sampled_from(["pcodec", "zstd"]),
    TaskKind: st.sampled_from(["span-corruption", "pairs"]),
    Residues: st.just("spaced"),
    Pipeline: st.sampled_from(["flux", "wan"]),
    LogitKind: st.sampled_from(["top-k", "sampled", "hybrid"]),
    Split: st.sampled_from(["validation", "train"]),
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


def golden(kind):
    """The members of a golden document, to be changed at will."""
    [path] = [path for path in (GOLDEN / FOLDERS[kind]).glob("*.json") if path.name == f"{kind.KIND}.json"]
    return {name: value for name, value in json.loads(path.read_text()).items() if name not in LISTED}


def golden_document(kind):
    """The same, parsed."""
    return parse(kind, golden(kind), "golden")


def changed(members, *path, **values):
    """A copy of some members, with other values inside the object at `path`."""
    copy = deepcopy(members)
    holder = copy
    for key in path:
        holder = holder[key]
    holder.update(values)
    return copy


@cache
def documents(form) -> Any:
    """A strategy for everything that an annotation allows."""
    if form in VALUES:
        return VALUES[form]
    origin, arguments = get_origin(form), get_args(form)
    if NoneType in arguments:
        return st.none() | documents(next(one for one in arguments if one is not NoneType))
    if origin is tuple and arguments[-1] is Ellipsis:
        return st.lists(documents(arguments[0]), max_size=3).map(tuple)
    if origin is tuple:
        return st.tuples(*map(documents, arguments))
    if origin is Mapping:
        return st.dictionaries(
            st.text(max_size=4), JSON if arguments[1] is Any else documents(arguments[1]), max_size=2
        )
    assert is_dataclass(form), form
    return records(form)


@st.composite
def records(draw, form):
    """Any record of a class."""
    hints, values = get_type_hints(form, include_extras=True), {}
    named = {one.metadata.get("member", one.name) for one in fields(form)}
    for one in fields(form):
        if "unwritten" in one.metadata or "only for" in one.metadata:
            continue
        if "others" in one.metadata:
            others = st.dictionaries(st.text(max_size=4).filter(lambda name: name not in named), JSON, max_size=2)
            values[one.name] = draw(others)
        elif "form" in one.metadata:
            values[one.name] = {"model_type": "t5", "name": draw(st.text(max_size=4))}
        elif one.name == "kind" and hints[one.name] is str:
            values[one.name] = draw(st.sampled_from(["hf", "files", "python-docs", "new"]))
        else:
            values[one.name] = draw(documents(hints[one.name]))
    for one in fields(form):
        if "only for" in one.metadata and one.default is not MISSING:
            name, value = one.metadata["only for"]
            [group] = (inner for inner in get_args(hints[one.name]) if inner is not NoneType)
            values[one.name] = draw(records(group)) if values[name] == value else None
    return form(**values)
