"""What a run carries from step to step: the numbers that a checkpoint stores, and the clock between two lines of the log."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter


@dataclass(slots=True)
class TrainingState:
    """Numbers alone; parameters and optimiser state are tensors beside it."""

    step: int = 0
    tokens: int = 0
    initial_loss: float = math.nan
    loss: float = math.nan
    held_out: dict[str, float] = field(default_factory=dict)
    """Of the last evaluation."""
    best: float | None = None
    """Smallest held-out loss so far."""
    unlogged: dict[str, float] | None = None
    """What the last step has to log, where evaluation and log were not reached; None once they were."""


@dataclass(slots=True)
class Clock:
    """One run's; time that is none of the steps' is left out."""

    tokens: int
    waited: float = 0.0
    begun: float = field(default_factory=perf_counter)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """The wait for the next batch."""
        begun = perf_counter()
        yield
        self.waited += perf_counter() - begun

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Evaluation and checkpoints."""
        stopped = perf_counter()
        yield
        self.begun += perf_counter() - stopped

    def read(self, tokens: int) -> dict[str, float]:
        """The three timing fields; starts again from now."""
        seconds = perf_counter() - self.begun
        fields = {
            "tokens_per_second": (tokens - self.tokens) / seconds,
            "step_seconds": seconds,
            "data_wait_seconds": self.waited,
        }
        self.tokens, self.begun, self.waited = tokens, perf_counter(), 0.0
        return fields
