"""What a run carries from step to step, and a checkpoint stores."""

import math
from dataclasses import dataclass, field


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
