"""What all tasks have in common: where their data is, how rows become examples, and what is scored."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Generic, TypeVar

from ...data.row import Row
from ...runtime.progress import Log
from .examples import ExampleT

AnswerT = TypeVar("AnswerT")
"""The answer of a model to one example: a label or a text."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Task(ABC, Generic[ExampleT, AnswerT]):
    """One task."""

    prefix: ClassVar[str]
    """The prefix of the name on the command line."""
    held_out_most: ClassVar[int]
    """The largest number of training examples to hold out for choosing a learning rate."""

    name: str
    metrics: tuple[str, ...]
    """The metrics. Tables show the first, and learning rates are chosen by it."""
    development: Mapping[str, tuple[str, ...]]
    """The possible names of the file or split of each result, by result."""
    folder: str
    """The usual name of the folder with its files."""
    hub: tuple[str, ...]
    """The name and configuration of the data set on the hub; empty if it is not there."""
    headerless: tuple[str, ...] = field(default=())
    """The column names of tsv files without a header."""

    @abstractmethod
    def examples(self, rows: Sequence[Row], where: str, log: Log) -> list[ExampleT]:
        """Return the examples in rows of `where`, a file or a split. Raises CorpusError for a row that is not one."""

    @abstractmethod
    def told(self, examples: Sequence[ExampleT]) -> str:
        """Return a phrase about the labels or summaries and the lengths of the texts of one part."""

    @abstractmethod
    def baseline(self, train: Sequence[ExampleT], examples: Sequence[ExampleT]) -> dict[str, float] | None:
        """Return the scores of one answer for all, the most frequent of train; None if a task does not have such answers."""

    @abstractmethod
    def scores(self, examples: Sequence[ExampleT], answers: Sequence[AnswerT]) -> dict[str, float]:
        """Return the scores in per cent by metric. Raises ConfigurationError if the libraries that compute them are missing."""

    @abstractmethod
    def require_libraries(self) -> None:
        """Raise ConfigurationError if `scores` would, so that it happens before hours of training."""
