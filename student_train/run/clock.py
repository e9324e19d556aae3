"""Seconds, tokens and the wait for data since the last line of the log."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter


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
