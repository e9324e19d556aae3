"""A task with labels: how its rows are read, how T5 writes it as text, and how its answers are scored."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, ClassVar

from ...data.row import Row
from ...errors import CorpusError, shortened
from ...runtime.progress import Log
from ..config import GLUE
from ..scores.scores import score
from .examples import LabelledExample
from .task import Task

HIGHEST = 5.0
"""The largest similarity of STS-B; the smallest is 0."""
UNREADABLE_SIMILARITY = -1.0
"""The similarity that replaces an answer of STS-B that is not a number, as in the T5 code."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GlueTask(Task[LabelledExample, float]):
    """One task of GLUE: which columns hold its texts and label, and what the labels are called."""

    prefix: ClassVar[str] = GLUE
    held_out_most: ClassVar[int] = 1000

    fields: Mapping[str, tuple[str, ...]]
    """The columns that may hold a field, by field, in the order in which the head reads the fields."""
    label_columns: tuple[str, ...] = ("label",)
    labels: tuple[str, ...]
    """The label words in the order of their numbers; empty for a regression."""
    metrics: tuple[str, ...] = ("accuracy",)

    @property
    def is_regression(self) -> bool:
        """Whether labels are numbers and not classes."""
        return not self.labels

    def examples(self, rows: Sequence[Row], where: str, log: Log) -> list[LabelledExample]:
        """Return labelled examples. Raises CorpusError for no rows, a missing column, or a label that the task does not have."""
        if not rows:
            raise CorpusError(f"{where} holds no examples; add some")
        columns = [_column(self, names, rows[0], where) for names in self.fields.values()]
        label_column = _column(self, self.label_columns, rows[0], where)
        examples = []
        for row in rows:
            texts = tuple(_text(row, column) for column in columns)
            examples.append(LabelledExample(texts, _label(self, row.get(label_column), row.place)))
        return examples

    def told(self, examples: Sequence[LabelledExample]) -> str:
        """Return the share of each label, or the range of the similarities, and the length of the longest text."""
        labels = [example.label for example in examples]
        if self.is_regression:
            told = f"similarities {min(labels):g} to {max(labels):g}, mean {fmean(labels):.2f}"
        else:
            shares = (f"{word} {labels.count(number) / len(labels):.1%}" for number, word in enumerate(self.labels))
            told = ", ".join(shares)
        return f"{told}, longest text {max(len(text) for example in examples for text in example.texts):,} characters"

    def baseline(self, train: Sequence[LabelledExample], examples: Sequence[LabelledExample]) -> dict[str, float]:
        """Return the scores of the most frequent label of train, or of the mean similarity, for every example."""
        labels = [example.label for example in train]
        answer = fmean(labels) if self.is_regression else max(sorted(set(labels)), key=labels.count)
        return self.scores(examples, [answer] * len(examples))

    def scores(self, examples: Sequence[LabelledExample], answers: Sequence[float]) -> dict[str, float]:
        """Return the metrics of `scores.score` on the labels."""
        labels = [example.label for example in examples]
        return {metric: score(metric, labels, answers) for metric in self.metrics}

    def require_libraries(self) -> None:
        """Raise ConfigurationError if scikit-learn and scipy are not installed."""
        for metric in self.metrics:
            score(metric, [0.0, 1.0], [0.0, 1.0])

    def prompt(self, texts: Sequence[str]) -> str:
        """Return the input of the text-to-text protocol: the task, then the fields sorted by name."""
        named = sorted(zip(self.fields, texts, strict=True))
        return " ".join([self.name, *(f"{name}: {text}" for name, text in named)])

    def answer(self, label: float) -> str:
        """Return the target of the text-to-text protocol; a similarity is rounded to a multiple of 0.2, such as "3.4"."""
        return f"{round(label * 5) / 5:.1f}" if self.is_regression else self.labels[int(label)]

    def answers(self) -> list[str]:
        """Return every possible target."""
        return [f"{step / 5:.1f}" for step in range(int(HIGHEST * 5) + 1)] if self.is_regression else list(self.labels)

    def understand(self, text: str) -> float | None:
        """Return the label that a generated answer names; None if it does not name one."""
        text = text.strip()
        if not self.is_regression:
            return float(self.labels.index(text)) if text in self.labels else None
        try:
            number = float(text)
        except ValueError:
            return None
        return number if math.isfinite(number) else None

    def wrong(self, label: float) -> float:
        """Return the label for an answer that cannot be understood: a class that is not the right one, or -1."""
        return UNREADABLE_SIMILARITY if self.is_regression else float((int(label) + 1) % len(self.labels))


def _column(task: GlueTask, names: Sequence[str], row: Row, where: str) -> str:
    for name in names:
        if name in row:
            return name
    wanted = " or ".join(names)
    raise CorpusError(f"{where}: task {task.name} needs a column {wanted}; found {', '.join(row)}")


def _text(row: Row, column: str) -> str:
    value = row.get(column)
    if not isinstance(value, str):
        raise CorpusError(f"{row.place}: {column} should be a text, found {shortened(repr(value))}")
    return value


def _label(task: GlueTask, value: Any, place: str) -> float:
    """Return the label that a label word, a class number or a similarity stands for."""
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
