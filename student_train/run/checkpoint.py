"""Checkpoints of a training run: safetensors and JSON, complete or absent.

    folder/step-00000100/state.safetensors     tensors (student, optimizer, ...)
    folder/step-00000100/state.json            step, the caller's state, SHA-256 of both

A checkpoint is written into a hidden sibling, flushed to the disk and renamed. A process that is killed at any moment leaves
either the previous checkpoint or the new one. The next save removes the files that were being written. We do not use accelerate's
`save_state`, because it pickles and writes in place.
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ...errors import TrainingError, shortened
from ...runtime.durable import flush, leads_nowhere, share
from ...runtime.json_file import read_json
from ...runtime.listing import entries
from ...storage.documents.parse import parse_plain
from ...storage.documents.values import Digest, Natural

VERSION = 1
_TENSORS, _STATE = "state.safetensors", "state.json"
_PUBLISHED = re.compile(r"step-(\d{8,})")
_PARTIAL = ".partial-"


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckpointRecord:
    """What `state.json` holds, without its own digest."""

    version: int
    step: Natural
    tensors_sha256: Digest
    state: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One checkpoint as it was saved. Its tensors are on the CPU."""

    step: int
    tensors: dict[str, Tensor]
    state: dict[str, Any]
    path: Path


def save_checkpoint(
    folder: Path, step: int, tensors: Mapping[str, Tensor], state: Mapping[str, Any], keep: int = 1
) -> Path:
    """Publish a checkpoint, then remove all but the newest `keep`; return its folder.

    `tensors` must not share memory (`named_parameters()` of a tied model lists the shared one once); `state` is JSON. If the step
    is saved already, it is only checked: it is the same point of the same run, and while it is replaced a kill would leave
    neither. Only one process may save into a folder. Raises ValueError if `step` is negative or `keep` below 1, and TrainingError
    if the tensors cannot be written or the saved step is damaged.
    """
    if step < 0 or keep < 1:
        raise ValueError(f"step must be at least 0 and keep at least 1; got {step} and {keep}")
    folder.mkdir(parents=True, exist_ok=True)
    _remove_partials(folder)
    partial, published = folder / f"{_PARTIAL}{step:08d}", folder / _name(step)
    if published.exists():
        _read(published)
    else:
        partial.mkdir()
        _write(partial, step, tensors, state)
        os.rename(partial, published)
        flush(folder)
    remove_older(folder, keep)
    return published


def remove_older(folder: Path, keep: int = 1) -> None:
    """Remove all but the newest `keep` checkpoints, and the files that a killed process was writing.

    A run that resumes at its last step does not save again, so it calls this for what a failed removal has left.
    """
    _remove_partials(folder)
    for old in _published(folder)[:-keep]:
        shutil.rmtree(old)


def latest_checkpoint(folder: Path) -> Checkpoint | None:
    """Return the newest published checkpoint, checked against its own digests; None if the folder does not hold any.

    Raises TrainingError if it is damaged, rather than silently going on from an older one.
    """
    published = _published(folder)
    return _read(published[-1]) if published else None


def latest_step(folder: Path) -> int:
    """Return the step of the newest published checkpoint; 0 if the folder does not hold any. The files are not read."""
    published = _published(folder)
    return int(published[-1].name.removeprefix("step-")) if published else 0


def _write(partial: Path, step: int, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
    try:
        save_file({name: tensor.detach().contiguous() for name, tensor in tensors.items()}, partial / _TENSORS)
    except SafetensorError as error:
        raise TrainingError(
            f"{partial} could not be written ({error}); make room and run the same command again, "
            "the checkpoint before it is kept"
        ) from error
    share(partial / _TENSORS)
    document = {"version": VERSION, "step": step, "tensors_sha256": _digest(partial / _TENSORS), "state": dict(state)}
    document = json.loads(json.dumps(document))
    document["sha256"] = _document_digest(document)
    (partial / _STATE).write_text(json.dumps(document, indent=1), encoding="utf-8")
    for path in (partial / _TENSORS, partial / _STATE, partial):
        flush(path)


def _read(path: Path) -> Checkpoint:
    try:
        document = read_json(path / _STATE)
        record = parse_plain(CheckpointRecord, document)
        claimed = document.pop("sha256", None)
        if record.version != VERSION:
            raise TrainingError(
                f"checkpoint {path} has version {record.version}, this software reads {VERSION}; "
                "go on with the version that wrote it, or delete the folder"
            )
        if _document_digest(document) != claimed or _digest(path / _TENSORS) != record.tensors_sha256:
            raise ValueError("its bytes are not those that were saved")
        if path.name != _name(record.step):
            raise ValueError(f"it says that it is of step {record.step}")
        return Checkpoint(record.step, load_file(path / _TENSORS), dict(record.state), path)
    except (OSError, ValueError, SafetensorError) as error:
        if isinstance(error, OSError) and not leads_nowhere(error):  # it may be sound: nobody should delete it for that
            raise
        raise damaged_checkpoint(path, error) from error


def damaged_checkpoint(path: Path, what: object) -> TrainingError:
    """Return the error of a checkpoint that cannot be what was saved, for the caller to raise."""
    return TrainingError(
        f"checkpoint {path} is damaged ({shortened(str(what), 300)}); delete that folder to go on from the checkpoint "
        "before it, or from the start"
    )


def _name(step: int) -> str:
    return f"step-{step:08d}"


def _published(folder: Path) -> list[Path]:
    """Return the published checkpoints, oldest first."""
    if not folder.is_dir():
        return []
    steps = {int(match[1]): path for path in folder.iterdir() if (match := _PUBLISHED.fullmatch(path.name))}
    return [steps[step] for step in sorted(steps)]


def _remove_partials(folder: Path) -> None:
    for path in entries(folder, _PARTIAL):
        shutil.rmtree(path)


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _document_digest(document: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
