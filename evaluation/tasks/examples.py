"""The examples that tasks are trained and evaluated on, and how parts of them are drawn."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, field
from typing import Any, Generic, TypeVar

import numpy as np

from ...errors import CorpusError

HELD_OUT_SHARE = 0.1
HELD_OUT_MOST = 1000
ExampleT = TypeVar("ExampleT", "LabelledExample", "SummaryExample")
"""`LabelledExample` or `SummaryExample`."""


@dataclass(frozen=True, slots=True)
class LabelledExample:
    """Texts in the order of the task's fields, and the number of the class or the similarity."""

    texts: tuple[str, ...]
    label: float

    @property
    def inputs(self) -> tuple[str, ...]:
        """The texts that a model reads."""
        return self.texts


@dataclass(frozen=True, slots=True)
class SummaryExample:
    """A text and at least one summary of it. Training uses the first summary; scores use all."""

    text: str
    references: tuple[str, ...]

    @property
    def inputs(self) -> tuple[str, ...]:
        """The texts that a model reads."""
        return (self.text,)


@dataclass(frozen=True, slots=True)
class TaskData(Generic[ExampleT]):
    """The training examples of a task, and its development sets by the name of their result."""

    train: list[ExampleT]
    development: dict[str, list[ExampleT]]
    files: dict[str, str] = field(default_factory=dict)
    """The file or split that each part was read from, by `train` or the name of the result."""

    def digest(self) -> str:
        """Return the SHA-256 of all texts and labels."""
        parts: dict[str, list[Any]] = {"train": self.train, **self.development}
        content = {name: [astuple(example) for example in part] for name, part in parts.items()}
        digest = hashlib.sha256()
        for piece in json.JSONEncoder(sort_keys=True).iterencode(content):  # all articles are too long for one string
            digest.update(piece.encode())
        return digest.hexdigest()

    def doubts(self) -> Iterator[str]:
        """Yield a line on each part that has blank texts, and on each development set that is partly in train."""
        seen = {example.inputs for example in self.train}
        for name, part in {"train": self.train, **self.development}.items():
            blank = sum(not all(text.strip() for text in example.inputs) for example in part)
            if blank:
                yield f"{blank:,} of {len(part):,} examples of {name} have a blank text"
        for name, part in self.development.items():
            known = sum(example.inputs in seen for example in part)
            if known:
                yield f"{known:,} of {len(part):,} examples of the development set {name} are also in train"


def split_off(examples: Sequence[ExampleT], most: int = HELD_OUT_MOST) -> tuple[list[ExampleT], list[ExampleT]]:
    """Return (rest, held out). A tenth of the examples is held out, at most `most`.

    The permutation that draws them depends only on the number of examples. Raises CorpusError for fewer than 10 examples, which
    leave nothing to hold out.
    """
    count = min(most, int(len(examples) * HELD_OUT_SHARE))
    if not count:
        raise CorpusError(
            f"{len(examples):,} training examples are too few to hold some out for choosing a learning rate; "
            "give at least 10 examples, or a single --learning-rate"
        )
    order = np.random.default_rng(0).permutation(len(examples))
    return [examples[i] for i in np.sort(order[count:])], [examples[i] for i in np.sort(order[:count])]


def draw(examples: list[ExampleT], count: int | None) -> list[ExampleT]:
    """Return `count` of the examples, or all if there are fewer. The permutation depends only on the number of examples."""
    if count is None or count >= len(examples):
        return examples
    chosen = np.sort(np.random.default_rng(1).permutation(len(examples))[:count])
    return [examples[i] for i in chosen]
