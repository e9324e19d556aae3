"""A few examples of a development set with a model's answers, for reports."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .records import EXAMPLES, SeedRecord, read_as, read_record
from .tasks.glue_task import GlueTask
from .tasks.task import Task

SHOWN = 2
"""The number of examples of each task."""


@dataclass(frozen=True, slots=True)
class TaskSample:
    """One example: what the model read, what is right, and what it answered with the first seed."""

    text: str
    target: str
    answer: str


def task_samples(output: Path, task: Task[Any, Any]) -> list[TaskSample]:
    """Return the first examples of a task's first development set in an evaluation's directory; none before they are there."""
    examples = read_record(output / task.name / EXAMPLES) or {}
    seed = read_as(output / task.name / "seed-0.json", SeedRecord)
    if seed is None:
        return []
    for name, part in examples.items():
        answers = seed.predictions.get(name)
        if isinstance(part, list) and isinstance(answers, list):
            return [_sample(task, one, answer) for one, answer in zip(part[:SHOWN], answers[:SHOWN], strict=False)]
    return []


def _sample(task: Task[Any, Any], example: dict[str, Any], answer: Any) -> TaskSample:
    if isinstance(task, GlueTask):
        return TaskSample(" / ".join(map(str, example["texts"])), _label(task, example["label"]), _label(task, answer))
    return TaskSample(str(example["text"]), str(example["references"][0]), str(answer))


def _label(task: GlueTask, label: Any) -> str:
    """Return the word of a class, or a similarity."""
    if task.is_regression:
        return f"{float(label):.2f}"
    number = int(label)
    return task.labels[number] if 0 <= number < len(task.labels) else str(label)
