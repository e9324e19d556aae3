"""What may not change in an output directory: settings of students that are trained there and of tasks that they are judged on.

Students and evaluations that are finished are left alone, so that a setting that changed in between would put unlike ones
side by side. More rows, sizes, tasks, seeds and learning rates change nothing that is there.
"""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

from ....errors import RunMismatchError
from ....evaluation.records import Document, read_record, write_record
from ....student_train.run.directory import IDENTITY
from ..file.paths import Places
from ..file.settings import Comparison, Student

OF_A_RUN = ("peak_learning_rate", "seed")
"""What a student's runs differ in."""
NOT_OF_A_TASK = ("model", "tasks", "output", "data", "seeds", "device")
"""Data are compared by their content when a model is judged, and seeds may be added."""


def require_same_settings(comparison: Comparison, places: Places) -> None:
    """Raise RunMismatchError that names what is not as it was when students were trained here."""
    there = read_record(places.settings) or {}
    for name, ours in _settings(comparison).items():
        theirs: Document = there.get(name) or ours
        different = [f"{key}: there {theirs.get(key)}, now {ours[key]}" for key in ours if theirs.get(key) != ours[key]]
        if different:
            raise RunMismatchError(
                f"{places.root} was begun with other settings of {name}: {'; '.join(different[:5])}. Use the same settings, "
                "another name for the row, or another --output"
            )


def keep_settings(comparison: Comparison, places: Places) -> None:
    """Write them down, beside those of rows and tasks that the file no longer has."""
    write_record(places.settings, (read_record(places.settings) or {}) | _settings(comparison))


def _settings(comparison: Comparison) -> Document:
    found = {f"student {one.label}": _of_student(comparison, one) for one in comparison.everyone}
    found |= {f"task {task}": _of_task(comparison, task) for task in comparison.tasks}
    if comparison.continuation:
        config = comparison.continued(Path(), Path(), 0)
        found["continuation"] = {name: getattr(config, name) for name in IDENTITY if name != "seed"}
    plain: Document = json.loads(json.dumps(found))
    return plain


def _of_student(comparison: Comparison, student: Student) -> dict[str, Any]:
    config = comparison.train(student, Path(), Path(), student.learning_rates[0], 0)
    cache = comparison.dump(student.cache, comparison.teacher, Path())
    settings = {name: getattr(config, name) for name in IDENTITY if name not in OF_A_RUN}
    return settings | {"cache": student.cache, "examples": cache.examples}


def _of_task(comparison: Comparison, task: str) -> dict[str, Any]:
    config = comparison.evaluate(task, comparison.teacher, Path())
    return {field.name: getattr(config, field.name) for field in fields(config) if field.name not in NOT_OF_A_TASK}
