"""Compare the outputs of two builds for one scenario, bit for bit."""

import json
import math
import re
from collections.abc import Iterator, Mapping
from itertools import zip_longest
from pathlib import Path
from struct import unpack
from typing import Any

from safetensors import deserialize

RENAMED = (("held_out.", "validation."),)
"""The start of a JSON key, or of a metric, in one build and in a later one."""
TIMING = {"tokens_per_second", "step_seconds", "data_wait_seconds"}
"""The metrics that depend on the clock."""
LEFTOVERS = "leftovers"
"""The member in which `verify` lists hidden names, such as locks."""
NOT_COMPARED = {"README.md", "run.json"}
"""The files of a student that are in English, or in the words of the command line."""
PREFIX = re.compile(r"^(student/|trained/|optimi[sz]er/)")
"""The part of a checkpoint's tensor that says what it is for; later builds also write `student.` before a student's parameter."""
IN_ORDER = ("plan", "segments", "extents", "calibration", "shards")
"""The folders of a cache; each depends on the ones before it."""
METRICS = "metrics.jsonl"
FORMS = {"F64": "<d", "F32": "<f", "I64": "<q", "I32": "<i"}
"""Type of a tensor -> the format of one of its numbers for `struct`."""


def plain_name(name: str) -> str:
    """Return a tensor's name without the prefix that a checkpoint gives it."""
    return re.sub(r"(^|/)student\.", r"\1", PREFIX.sub("", name))


def todays_name(key: str) -> str:
    """Return the name that the latest build has for a key or metric."""
    for old, new in RENAMED:
        if key.startswith(old):
            return new + key.removeprefix(old)
    return key


def differences(old: Path, new: Path) -> Iterator[str]:
    """Yield a line for each difference between two outputs of the same name."""
    theirs, ours = files_of(old), files_of(new)
    for name in theirs:
        if name not in ours:
            yield f"{name} is missing"
        else:
            yield from (f"{name}: {line}" for line in differences_of_files(theirs[name], ours[name]))
    yield from (f"{name} is new" for name in ours if name not in theirs)


def files_of(output: Path) -> dict[str, Path]:
    """Return the files of an output that we compare, by their names in messages."""
    if output.is_file():
        return {f"{output.parent.name}/{output.name}": output}
    if runs := sorted(path.parent for path in output.rglob(METRICS)):
        return {name: path for run in runs for name, path in files_of_student(output, run).items()}
    found = {path.relative_to(output): path for path in output.rglob("*") if path.is_file()}
    plain = [name for name in found if not any(part.startswith(".") for part in name.parts)]
    return {str(name): found[name] for name in sorted(plain, key=_place)}


def _place(name: Path) -> tuple[int, Path]:
    first = name.parts[0]
    return IN_ORDER.index(first) if first in IN_ORDER else len(IN_ORDER), name


def files_of_student(output: Path, run: Path) -> dict[str, Path]:
    """Return the metrics first, then the other files of the last student and the best, and the last checkpoint."""
    inside = [path for folder in (run, run / "best") if folder.is_dir() for path in folder.iterdir()]
    plain = [path for path in inside if path.is_file() and not path.name.startswith(".")]
    found = [run / METRICS, *sorted(path for path in plain if path.name not in {*NOT_COMPARED, METRICS})]
    named = {str(path.relative_to(output)): path for path in found}
    checkpoints = sorted(run.rglob("state.safetensors"))
    return named | {str(run.relative_to(output) / "last checkpoint"): path for path in checkpoints[-1:]}


def differences_of_files(old: Path, new: Path) -> Iterator[str]:
    """Compare two files by tensor, by line of metrics, by member of a JSON object, or by byte."""
    if old.suffix == ".safetensors":
        yield from differences_of_tensors(old, new)
    elif old.name == METRICS:
        yield from differences_of_metrics(old, new)
    elif old.parent.name in ("inspected", "verified"):
        one, other = (json.loads(path.read_text(encoding="utf-8")) for path in (old, new))
        yield from differences_of_values(one, other, {LEFTOVERS})
    elif (theirs := old.read_bytes()) != (ours := new.read_bytes()):
        yield f"{len(theirs)} bytes before, {len(ours)} now; {first_byte(theirs, ours)}"


def first_byte(old: bytes, new: bytes) -> str:
    """Return the first place in which two byte strings differ, with the bytes there."""
    place = next((k for k, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
    shown = slice(max(0, place - 16), place + 24)
    return f"differ from byte {place} on: {old[shown]!r} before, {new[shown]!r} now"


def differences_of_metrics(old: Path, new: Path) -> Iterator[str]:
    """Compare line by line, without the metrics that depend on the clock."""
    theirs, ours = (path.read_text(encoding="utf-8").splitlines() for path in (old, new))
    for number, (one, other) in enumerate(zip_longest(theirs, ours), start=1):
        if one is None or other is None:
            yield f"{len(theirs)} lines before, {len(ours)} now"
            return
        found = differences_of_values(json.loads(one), json.loads(other), TIMING)
        yield from (f"line {number}: {line}" for line in found)


def differences_of_values(old: Any, new: Any, ignored: set[str], where: str = "") -> Iterator[str]:
    """Yield the leaves in which two JSON values differ; two numbers are the same if all their digits are."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        theirs, ours = ({todays_name(key): part for key, part in value.items()} for value in (old, new))
        for key in [*theirs, *(key for key in ours if key not in theirs)]:
            if key not in ignored:
                place = f"{where}/{key}" if where else key
                yield from differences_of_values(theirs.get(key, ...), ours.get(key, ...), ignored, place)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for number, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from differences_of_values(one, other, ignored, f"{where}[{number}]")
    elif repr(old) != repr(new):
        yield f"{where} {_shown(old)} before, {_shown(new)} now"


def _shown(value: Any) -> str:
    return "absent" if value is ... else repr(value)[:60]


def differences_of_tensors(old: Path, new: Path) -> Iterator[str]:
    """Compare tensor by tensor, in type, shape and bits."""
    theirs, ours = tensors_of(old), tensors_of(new)
    for name in [*theirs, *(name for name in ours if name not in theirs)]:
        if name not in ours or name not in theirs:
            yield f"{name} is {'missing' if name in theirs else 'new'}"
        elif theirs[name] != ours[name]:
            yield f"{name} {first_number(theirs[name], ours[name])}"


def tensors_of(path: Path) -> dict[str, dict[str, Any]]:
    """Return type, shape and bytes of the tensors of a file by plain name. Raises ValueError if two have the same."""
    loaded = deserialize(path.read_bytes())
    found = {plain_name(name): tensor for name, tensor in loaded}
    if len(found) < len(loaded):
        raise ValueError(f"{path}: the names of two tensors differ only in their prefix")
    return found


def first_number(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Return the first difference between two tensors."""
    if (old["dtype"], old["shape"]) != (new["dtype"], new["shape"]):
        return f"{old['dtype']} {old['shape']} before, {new['dtype']} {new['shape']} now"
    count = math.prod(old["shape"])
    width = len(old["data"]) // count
    theirs, ours = ([part["data"][k : k + width] for k in range(0, count * width, width)] for part in (old, new))
    changed = [place for place in range(count) if theirs[place] != ours[place]]
    one, other = (_number(part[changed[0]], old["dtype"]) for part in (theirs, ours))
    return f"differs in {len(changed)} of {count} numbers, first in number {changed[0]}: {one} before, {other} now"


def _number(data: bytes, dtype: str) -> str:
    form = FORMS.get(dtype)
    return repr(unpack(form, data)[0]) if form else data.hex()
