"""What an evaluation read, in one line per task, so that a wrong file or a strange one is seen before hours of training."""

from typing import Any

from .examples import ExampleT, TaskData
from .task import Task


def describe_data(task: Task[ExampleT, Any], data: TaskData[ExampleT]) -> str:
    """Return the files of a task, and of each its examples, their labels and the longest text."""
    parts = {"train": data.train, **data.development}
    return f"{task.prefix}{task.name}: " + "; ".join(
        f"{name} {data.files.get(name, '')}, {len(part):,} examples, {task.told(part)}" for name, part in parts.items()
    )
