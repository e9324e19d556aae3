"""The tasks of GLUE (Wang et al., ICLR 2019): their columns, labels, scores, and how T5 writes them as text.

Names of fields and label words are those of the T5 code (google-research/text-to-text-transfer-transformer, `preprocessors.glue`
and `preprocessors.stsb`), which are those of `datasets` too; other columns are those of GLUE's own tsv files.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..errors import ConfigurationError

PREFIX = "glue/"
HIGHEST = 5.0
"""Similarities of STS-B lie between 0 and this."""
UNREADABLE_SIMILARITY = -1.0
"""What the T5 code takes an answer of STS-B for that is no number."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """One task: which columns hold its texts and label, what the labels are called, and what is scored."""

    name: str
    fields: Mapping[str, tuple[str, ...]]
    """Field -> the columns that may hold it; in the order in which the head reads them."""
    label_columns: tuple[str, ...] = ("label",)
    labels: tuple[str, ...]
    """Label words in the order of their numbers; empty for a regression."""
    metrics: tuple[str, ...] = ("accuracy",)
    """The first is the score that tables show."""
    development: Mapping[str, tuple[str, ...]]
    """Name of a result -> the names that the file or split it is measured on may have."""
    folder: str
    """Its folder in GLUE's own download."""
    headerless: tuple[str, ...] = field(default=())
    """Column names of its tsv files where they have no header."""

    @property
    def is_regression(self) -> bool:
        """Whether labels are numbers and not classes."""
        return not self.labels

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


def _same(*names: str) -> dict[str, tuple[str, ...]]:
    return {name: (name,) for name in names}


def _development(name: str) -> dict[str, tuple[str, ...]]:
    return {name: ("validation", "dev")}


_ENTAILMENT = ("entailment", "not_entailment")
_ALL = (
    Task(
        name="sst2",
        fields=_same("sentence"),
        labels=("negative", "positive"),
        development=_development("sst2"),
        folder="SST-2",
    ),
    Task(
        name="mrpc",
        fields={"sentence1": ("sentence1", "#1 String"), "sentence2": ("sentence2", "#2 String")},
        label_columns=("label", "Quality"),
        labels=("not_equivalent", "equivalent"),
        metrics=("f1", "accuracy"),
        development=_development("mrpc"),
        folder="MRPC",
    ),
    Task(
        name="stsb",
        fields=_same("sentence1", "sentence2"),
        label_columns=("label", "score"),
        labels=(),
        metrics=("spearman", "pearson"),
        development=_development("stsb"),
        folder="STS-B",
    ),
    Task(
        name="qqp",
        fields=_same("question1", "question2"),
        label_columns=("label", "is_duplicate"),
        labels=("not_duplicate", "duplicate"),
        metrics=("f1", "accuracy"),
        development=_development("qqp"),
        folder="QQP",
    ),
    Task(
        name="mnli",
        fields={"premise": ("premise", "sentence1"), "hypothesis": ("hypothesis", "sentence2")},
        label_columns=("label", "gold_label"),
        labels=("entailment", "neutral", "contradiction"),
        development={
            "mnli_matched": ("validation_matched", "dev_matched"),
            "mnli_mismatched": ("validation_mismatched", "dev_mismatched"),
        },
        folder="MNLI",
    ),
    Task(
        name="qnli",
        fields=_same("question", "sentence"),
        labels=_ENTAILMENT,
        development=_development("qnli"),
        folder="QNLI",
    ),
    Task(
        name="rte",
        fields=_same("sentence1", "sentence2"),
        labels=_ENTAILMENT,
        development=_development("rte"),
        folder="RTE",
    ),
    Task(
        name="cola",
        fields=_same("sentence"),
        labels=("unacceptable", "acceptable"),
        metrics=("matthews",),
        development=_development("cola"),
        folder="CoLA",
        headerless=("source", "label", "star", "sentence"),
    ),
    Task(
        name="wnli",
        fields=_same("sentence1", "sentence2"),
        labels=_ENTAILMENT[::-1],
        development=_development("wnli"),
        folder="WNLI",
    ),
)
TASKS = {task.name: task for task in _ALL}

GLUE_EIGHT = {
    "sst2": "accuracy",
    "mrpc": "f1",
    "stsb": "spearman",
    "qqp": "f1",
    "mnli_matched": "accuracy",
    "mnli_mismatched": "accuracy",
    "qnli": "accuracy",
    "rte": "accuracy",
}
"""Result -> metric: the eight numbers whose plain mean is the GLUE score of the MiniEnD paper."""


def find_task(name: str) -> Task:
    """The task that `glue/sst2` names. Raises ConfigurationError for any other name, with those that there are."""
    if name.startswith(PREFIX) and name.removeprefix(PREFIX) in TASKS:
        return TASKS[name.removeprefix(PREFIX)]
    known = ", ".join(PREFIX + task for task in TASKS)
    raise ConfigurationError(f"unknown task {name!r}; expected one of {known}")
