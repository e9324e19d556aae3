"""What fine-tuning needs to know of a way to put a task to a model."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic

from ..tasks.examples import ExampleT
from ..tasks.task import AnswerT

Feature = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Predictions(Generic[AnswerT]):
    """An answer per example, a label or a text, and how many could not be understood and were set to a wrong one."""

    answers: list[AnswerT]
    unreadable: int


class TaskProtocol(ABC, Generic[ExampleT, AnswerT]):
    """A protocol, bound to a task and a checkpoint."""

    learning_rates: ClassVar[tuple[float, ...]]
    """Those to choose from unless others are asked for."""
    settings: dict[str, Any]
    """Lengths in tokens, EOS included."""

    @abstractmethod
    def fresh_model(self, seed: int, /) -> Any:
        """A copy of the checkpoint to fine-tune; weights that it lacks are drawn from the seed."""

    @abstractmethod
    def features(self, examples: Sequence[ExampleT], targets: bool) -> list[Feature]:
        """Token ids per example, with labels where targets are wanted."""

    @abstractmethod
    def trainer(self, model: Any, arguments: Any, train: list[Feature]) -> Any:
        """A transformers Trainer of the model."""

    @abstractmethod
    def predict(self, trainer: Any, examples: Sequence[ExampleT]) -> Predictions[AnswerT]:
        """What the trained model says; the examples' labels serve to set unreadable answers to wrong ones only."""
