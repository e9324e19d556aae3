"""The protocol: what fine-tuning needs to know about a way to present a task to a model."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic

from ..tasks.examples import ExampleT
from ..tasks.task import AnswerT

Feature = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Predictions(Generic[AnswerT]):
    """The answers of a model to the examples of a task."""

    answers: list[AnswerT]
    """A label or a text per example."""
    unreadable: int
    """The number of answers that were not a label and were replaced by a wrong label, or of summaries that were empty."""
    texts: list[str] | None = None
    """The texts that were generated, if they are not the answers themselves."""


class TaskProtocol(ABC, Generic[ExampleT, AnswerT]):
    """A protocol, bound to a task and a checkpoint."""

    learning_rates: ClassVar[tuple[float, ...]]
    """The learning rates to choose from by default."""
    settings: dict[str, Any]
    """The lengths in tokens, EOS included."""

    @abstractmethod
    def fresh_model(self, seed: int, /) -> Any:
        """Return a copy of the checkpoint to fine-tune; weights that it lacks are drawn from the seed."""

    @abstractmethod
    def features(self, examples: Sequence[ExampleT], targets: bool) -> list[Feature]:
        """Return the token ids per example, and the labels if targets are wanted."""

    @abstractmethod
    def trainer(self, model: Any, arguments: Any, train: list[Feature]) -> Any:
        """Return a transformers Trainer of the model."""

    @abstractmethod
    def predict(self, trainer: Any, examples: Sequence[ExampleT]) -> Predictions[AnswerT]:
        """Return the answers of the trained model. The labels only serve to replace unreadable answers by wrong ones."""
