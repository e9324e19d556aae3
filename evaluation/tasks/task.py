"""What every task has, of whatever kind: where its data are found, how rows become examples, and what is scored."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Generic, TypeVar

from ...runtime.progress import Say
from .examples import ExampleT
from .tables import Row

AnswerT = TypeVar("AnswerT")
"""What a model says of one example: a label or a text."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Task(ABC, Generic[ExampleT, AnswerT]):
    """One task."""

    prefix: ClassVar[str]
    """What stands before the name on the command line."""
    held_out_most: ClassVar[int]
    """Examples of train that a learning rate is judged by, at most."""

    name: str
    metrics: tuple[str, ...]
    """The first is the score that tables show and learning rates are chosen by."""
    development: Mapping[str, tuple[str, ...]]
    """Name of a result -> the names that the file or split it is measured on may have."""
    folder: str
    """The folder that its files are handed round in."""
    hub: tuple[str, ...]
    """Name and configuration of the data set on the hub; empty where there is none."""
    headerless: tuple[str, ...] = field(default=())
    """Column names of its tsv files where they have no header."""

    @abstractmethod
    def examples(self, rows: Sequence[Row], where: str, say: Say) -> list[ExampleT]:
        """The examples of rows that come from `where`, a file or a split. Raises CorpusError for what is none."""

    @abstractmethod
    def scores(self, examples: Sequence[ExampleT], answers: Sequence[AnswerT]) -> dict[str, float]:
        """Metric -> score in per cent. Raises ConfigurationError where the libraries that count it are missing."""

    @abstractmethod
    def require_libraries(self) -> None:
        """Raise ConfigurationError where `scores` would, before hours of training."""
