"""The state of a run between steps: the numbers that a checkpoint stores, and the clock between two lines of the log."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter

from ...storage.documents.values import Natural


@dataclass(slots=True)
class TrainingState:
    """The numbers of a run's state. Parameters and optimizer state are tensors, which a checkpoint stores beside it.

    The annotations also say what a checkpoint may hold (`storage/documents/parse.py`).
    """

    step: Natural = 0
    tokens: Natural = 0
    initial_loss: float = math.nan
    loss: float = math.nan
    validation: dict[str, float] = field(default_factory=dict)
    """The validation means of the last evaluation."""
    best: float | None = None
    """The smallest validation loss so far."""
    unlogged: dict[str, float] | None = None
    """The values that the last step has still to log, empty for most steps; None after its evaluation and log."""


@dataclass(slots=True)
class Clock:
    """The clock of one run. It leaves out the time between steps that belongs to evaluation, checkpoints and other runs."""

    tokens: int
    waited: float = 0.0
    begun: float = field(default_factory=perf_counter)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Count the block as waiting for the next batch."""
        begun = perf_counter()
        yield
        self.waited += perf_counter() - begun

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave the time of the block out, such as evaluation and checkpoints."""
        stopped = perf_counter()
        yield
        self.begun += perf_counter() - stopped

    def read(self, tokens: int) -> dict[str, float]:
        """Return the three timing fields, given the run's tokens so far, and start again from now."""
        seconds = perf_counter() - self.begun
        fields = {
            "tokens_per_second": (tokens - self.tokens) / seconds,
            "step_seconds": seconds,
            "data_wait_seconds": self.waited,
        }
        self.tokens, self.begun, self.waited = tokens, perf_counter(), 0.0
        return fields
