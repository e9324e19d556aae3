"""Labelled examples of a task, out of rows: the columns found, the labels read and held against what the task allows."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np

from ..errors import CorpusError
from .tables import Row
from .tasks import HIGHEST, Task

HELD_OUT_SHARE = 0.1
HELD_OUT_MOST = 1000


@dataclass(frozen=True, slots=True)
class LabelledExample:
    """Texts in the order of the task's fields, and the number of the class or the similarity."""

    texts: tuple[str, ...]
    label: float


@dataclass(frozen=True, slots=True)
class TaskData:
    """What a task is trained on, and what it is measured on by the name of the result."""

    train: list[LabelledExample]
    development: dict[str, list[LabelledExample]]

    def digest(self) -> str:
        """SHA-256 of all texts and labels."""
        parts = {"train": self.train, **self.development}
        content = {name: [astuple(example) for example in part] for name, part in parts.items()}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def labelled_examples(task: Task, rows: Sequence[Row], where: str) -> list[LabelledExample]:
    """The examples of rows that come from `where`, a file or a split.

    Raises CorpusError for no rows, for a column that is missing, and for a label that the task does not have.
    """
    if not rows:
        raise CorpusError(f"{where} holds no examples")
    columns = [_column(task, names, rows[0], where) for names in task.fields.values()]
    label_column = _column(task, task.label_columns, rows[0], where)
    examples = []
    for number, row in enumerate(rows, start=1):
        place = f"{where}, example {number}"
        texts = tuple(_text(row, column, place) for column in columns)
        examples.append(LabelledExample(texts, _label(task, row.get(label_column), place)))
    return examples


def split_off(examples: Sequence[LabelledExample]) -> tuple[list[LabelledExample], list[LabelledExample]]:
    """(rest, held out): a tenth, at most 1000, drawn by a permutation that depends on the number of examples alone.

    Raises CorpusError where fewer than 10 examples leave nothing to hold out.
    """
    count = min(HELD_OUT_MOST, int(len(examples) * HELD_OUT_SHARE))
    if not count:
        raise CorpusError(
            f"{len(examples)} training examples are too few to hold some out for choosing a learning rate; "
            "give at least 10, or a single --learning-rate"
        )
    order = np.random.default_rng(0).permutation(len(examples))
    return [examples[i] for i in np.sort(order[count:])], [examples[i] for i in np.sort(order[:count])]


def draw(examples: list[LabelledExample], count: int | None) -> list[LabelledExample]:
    """`count` of the examples, drawn once by a permutation that depends on their number alone; all where there are fewer."""
    if count is None or count >= len(examples):
        return examples
    chosen = np.sort(np.random.default_rng(1).permutation(len(examples))[:count])
    return [examples[i] for i in chosen]


def _column(task: Task, names: Sequence[str], row: Row, where: str) -> str:
    for name in names:
        if name in row:
            return name
    wanted = " or ".join(names)
    raise CorpusError(f"{where} has no column {wanted}, which task {task.name} needs; found {', '.join(row)}")


def _text(row: Row, column: str, place: str) -> str:
    value = row.get(column)
    if not isinstance(value, str):
        raise CorpusError(f"{place}: {column} should be a text, found {value!r}")
    return value


def _label(task: Task, value: Any, place: str) -> float:
    """A label word, the number of a class, or a similarity."""
    if not task.is_regression and value in task.labels:
        return float(task.labels.index(value))
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if task.is_regression:
        if 0.0 <= number <= HIGHEST:
            return number
        raise CorpusError(
            f"{place}: the label should be a number from 0 to {HIGHEST:g}, found {value!r}{_hidden(number)}"
        )
    if number in range(len(task.labels)):
        return number
    words = ", ".join(f"{i} ({word})" for i, word in enumerate(task.labels))
    raise CorpusError(f"{place}: the label should be one of {words}, found {value!r}{_hidden(number)}")


def _hidden(number: float) -> str:
    return "; -1 marks GLUE's test splits, whose labels are not public" if number == -1 else ""
