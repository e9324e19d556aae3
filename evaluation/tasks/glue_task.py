"""A task with labels: how its rows are read, how T5 writes it as text, and how its answers are scored."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from ...errors import CorpusError
from ...runtime.progress import Say
from ..scores.scores import score
from .examples import LabelledExample
from .tables import Row
from .task import Task

HIGHEST = 5.0
"""Similarities of STS-B lie between 0 and this."""
UNREADABLE_SIMILARITY = -1.0
"""What the T5 code takes an answer of STS-B for that is no number."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GlueTask(Task[LabelledExample, float]):
    """One task of GLUE: which columns hold its texts and label, and what the labels are called."""

    prefix: ClassVar[str] = "glue/"
    held_out_most: ClassVar[int] = 1000

    fields: Mapping[str, tuple[str, ...]]
    """Field -> the columns that may hold it; in the order in which the head reads them."""
    label_columns: tuple[str, ...] = ("label",)
    labels: tuple[str, ...]
    """Label words in the order of their numbers; empty for a regression."""
    metrics: tuple[str, ...] = ("accuracy",)

    @property
    def is_regression(self) -> bool:
        """Whether labels are numbers and not classes."""
        return not self.labels

    def examples(self, rows: Sequence[Row], where: str, say: Say) -> list[LabelledExample]:
        """Labelled examples; CorpusError for no rows, a column that is missing, and a label that the task does not have."""
        if not rows:
            raise CorpusError(f"{where} holds no examples")
        columns = [_column(self, names, rows[0], where) for names in self.fields.values()]
        label_column = _column(self, self.label_columns, rows[0], where)
        examples = []
        for number, row in enumerate(rows, start=1):
            place = f"{where}, example {number}"
            texts = tuple(_text(row, column, place) for column in columns)
            examples.append(LabelledExample(texts, _label(self, row.get(label_column), place)))
        return examples

    def scores(self, examples: Sequence[LabelledExample], answers: Sequence[float]) -> dict[str, float]:
        """The metrics of `scores.score` on the labels."""
        labels = [example.label for example in examples]
        return {metric: score(metric, labels, answers) for metric in self.metrics}

    def require_libraries(self) -> None:
        """scikit-learn and scipy."""
        for metric in self.metrics:
            score(metric, [0.0, 1.0], [0.0, 1.0])

    def prompt(self, texts: Sequence[str]) -> str:
        """The input of the text-to-text protocol: task, then the fields sorted by name."""
        named = sorted(zip(self.fields, texts, strict=True))
        return " ".join([self.name, *(f"{name}: {text}" for name, text in named)])

    def answer(self, label: float) -> str:
        """The target of the text-to-text protocol; a similarity is rounded to 0.2, as "3.4"."""
        return f"{round(label * 5) / 5:.1f}" if self.is_regression else self.labels[int(label)]

    def answers(self) -> list[str]:
        """Every target there is."""
        return [f"{step / 5:.1f}" for step in range(int(HIGHEST * 5) + 1)] if self.is_regression else list(self.labels)

    def understand(self, text: str) -> float | None:
        """The label that a generated answer stands for; None where it is none."""
        text = text.strip()
        if not self.is_regression:
            return float(self.labels.index(text)) if text in self.labels else None
        try:
            number = float(text)
        except ValueError:
            return None
        return number if math.isfinite(number) else None

    def wrong(self, label: float) -> float:
        """What an answer that cannot be understood is scored as: another class than the right one, or -1."""
        return UNREADABLE_SIMILARITY if self.is_regression else float((int(label) + 1) % len(self.labels))


def _column(task: GlueTask, names: Sequence[str], row: Row, where: str) -> str:
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


def _label(task: GlueTask, value: Any, place: str) -> float:
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
