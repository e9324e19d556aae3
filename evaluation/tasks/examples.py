"""What tasks are trained and judged on: examples of each kind, and how parts of them are drawn."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import Any, Generic, TypeVar

import numpy as np

from ...errors import CorpusError

HELD_OUT_SHARE = 0.1
HELD_OUT_MOST = 1000
ExampleT = TypeVar("ExampleT")
"""`LabelledExample` or `SummaryExample`."""


@dataclass(frozen=True, slots=True)
class LabelledExample:
    """Texts in the order of the task's fields, and the number of the class or the similarity."""

    texts: tuple[str, ...]
    label: float


@dataclass(frozen=True, slots=True)
class SummaryExample:
    """A text and at least one summary of it; the first is learnt, all are scored against."""

    text: str
    references: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TaskData(Generic[ExampleT]):
    """What a task is trained on, and what it is measured on by the name of the result."""

    train: list[ExampleT]
    development: dict[str, list[ExampleT]]

    def digest(self) -> str:
        """SHA-256 of all texts and labels."""
        parts: dict[str, list[Any]] = {"train": self.train, **self.development}
        content = {name: [astuple(example) for example in part] for name, part in parts.items()}
        found = hashlib.sha256()
        for piece in json.JSONEncoder(sort_keys=True).iterencode(content):  # articles are too many for one string
            found.update(piece.encode())
        return found.hexdigest()


def split_off(examples: Sequence[ExampleT], most: int = HELD_OUT_MOST) -> tuple[list[ExampleT], list[ExampleT]]:
    """(rest, held out): a tenth, at most so many, drawn by a permutation that depends on the number of examples alone.

    Raises CorpusError where fewer than 10 examples leave nothing to hold out.
    """
    count = min(most, int(len(examples) * HELD_OUT_SHARE))
    if not count:
        raise CorpusError(
            f"{len(examples)} training examples are too few to hold some out for choosing a learning rate; "
            "give at least 10, or a single --learning-rate"
        )
    order = np.random.default_rng(0).permutation(len(examples))
    return [examples[i] for i in np.sort(order[count:])], [examples[i] for i in np.sort(order[:count])]


def draw(examples: list[ExampleT], count: int | None) -> list[ExampleT]:
    """`count` of the examples, drawn once by a permutation that depends on their number alone; all where there are fewer."""
    if count is None or count >= len(examples):
        return examples
    chosen = np.sort(np.random.default_rng(1).permutation(len(examples))[:count])
    return [examples[i] for i in chosen]
