"""What may not change in an output directory: settings of students that are trained there and of tasks that they are judged on.

Students and evaluations that are finished are left alone, so that a setting that changed in between would put unlike ones
side by side. More rows, sizes, tasks, seeds and learning rates change nothing that is there.
"""

import json
from typing import Any

from ....evaluation.records import Document, read_record, write_record
from ....runtime.identity import ANOTHER_OUTPUT, require_same
from ....runtime.options import completed, identity_of, marked
from ....student_train.config import VARIED, TrainSettings
from ..file.paths import Places
from ..file.settings import Comparison, Student


def require_same_settings(comparison: Comparison, places: Places) -> None:
    """Raise RunMismatchError that names what is not as it was when students were trained here."""
    there = read_record(places.settings) or {}
    for name, ours in _settings(comparison).items():
        remedy = f"{ANOTHER_OUTPUT}, or give the row another name"
        require_same(f"{places.root} holds another {name}", there.get(name) or ours, ours, remedy)


def keep_settings(comparison: Comparison, places: Places) -> None:
    """Write them down, beside those of rows and tasks that the file no longer has."""
    write_record(places.settings, (read_record(places.settings) or {}) | _settings(comparison))


def _settings(comparison: Comparison) -> Document:
    found = {f"student {one.label}": _of_student(comparison, one) for one in comparison.everyone}
    found |= {f"task {task}": identity_of(settings) for task, settings in comparison.tasks.items()}
    if comparison.continuation:
        config = completed(TrainSettings, comparison.continuation, objective="scratch")
        found["continuation"] = identity_of(config, without=("seed",))
    plain: Document = json.loads(json.dumps(found))
    return plain


def _of_student(comparison: Comparison, student: Student) -> dict[str, Any]:
    settings = identity_of(student.settings, without=marked(TrainSettings, VARIED))
    return settings | {"cache": student.cache, "examples": comparison.caches[student.cache].settings.examples}
