"""Guard the settings of an output directory: how its students are trained, and the tasks that they are evaluated on.

Finished students and evaluations are kept. If a setting changed in between, the report would compare unlike ones. A file may add
rows, sizes, tasks, seeds and learning rates, which change nothing that exists.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ....errors import RunMismatchError
from ....evaluation.config import EvaluateSettings
from ....evaluation.records import Document, read_record, write_record
from ....runtime.durable import is_there
from ....runtime.identity import ANOTHER_OUTPUT, require_same
from ....runtime.options import completed, identity_of, marked, typed_by_identity
from ....student_train.config import VARIED, TrainSettings
from ..file.paths import Paths
from ..file.settings import Comparison, Student

TYPED = {
    **typed_by_identity(TrainSettings, flags=False),
    **typed_by_identity(EvaluateSettings, flags=False),
    "examples": "examples of the dump",
}
"""What decides the members of the settings, as the user types it in the file."""


def require_same_settings(comparison: Comparison, paths: Paths) -> None:
    """Raise RunMismatchError, naming the settings that differ, if students were trained here with other settings."""
    there = read_record(paths.settings) or {}
    for name, ours in _settings(comparison).items():
        remedy = f"{ANOTHER_OUTPUT}, or give the row another name"
        theirs = there.get(name) or ours
        if not isinstance(theirs, dict):
            raise RunMismatchError(
                f"{paths.settings}: expected an object for {name}; remove the file, or use another --output"
            )
        require_same(f"{paths.root} holds another {name}", theirs, ours, remedy, typed=TYPED)


def keep_settings(comparison: Comparison, paths: Paths) -> None:
    """Write down the settings, and keep the settings of rows and tasks that the file no longer has."""
    write_record(paths.settings, (read_record(paths.settings) or {}) | _settings(comparison))


def _settings(comparison: Comparison) -> Document:
    settings_by_name = {f"student {one.label}": _of_student(comparison, one) for one in comparison.everyone}
    settings_by_name |= {f"task {task}": identity_of(settings) for task, settings in comparison.tasks.items()}
    settings_by_name |= {
        f"filters of {name}": asdict(one.filters) for name, one in comparison.caches.items() if one.filters
    }
    if comparison.continuation:
        config = completed(TrainSettings, comparison.continuation, objective="scratch")
        settings_by_name["continuation"] = identity_of(config, without=("seed",))
    plain: Document = json.loads(json.dumps(settings_by_name))
    return plain


def _of_student(comparison: Comparison, student: Student) -> dict[str, Any]:
    settings = identity_of(student.settings, without=marked(TrainSettings, VARIED))
    settings["init"] = _one_spelling(student.settings.init)
    return settings | {"cache": student.cache, "examples": comparison.caches[student.cache].settings.examples}


def _one_spelling(init: str | None) -> str | None:
    """Return the value of `init` with a path as it is from the root, because it may be given relative or with a slash."""
    if init is None:
        return None
    name, colon, source = ("", "", init) if is_there(Path(init)) else init.rpartition(":")
    return name + colon + (str(Path(source).resolve()) if is_there(Path(source)) else source)
