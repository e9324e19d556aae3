"""How a loss on states weighs an error e [d] of a target: as e^T S e, with S a number or a symmetric matrix [d, d].

`energy` is 1 / energy. The loss is then the fraction of variance unexplained: 1 at the best constant, and of one scale in all
layers. `mean` is 1 / d, the published form (the mean over elements). `whitened` is our experiment. `beyond_top` is the
fraction of variance unexplained in the complement of the strongest directions, which a few numbers per token cannot explain.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ...signals.matching.target_statistics import TargetStatistics

TOP = 8
"""The number of directions that `beyond_top` leaves out."""
LEAST_SHARE = 1e-4
"""The smallest share of the energy in the complement at which its fraction means anything."""
FLOOR = 0.01
"""The smallest variance by which `whitened` divides, relative to the mean over directions."""


@dataclass(frozen=True, slots=True)
class Weighing:
    """A way to weigh errors."""

    metric: Callable[[TargetStatistics, float], Tensor]
    """Return S, float64, from the statistics of a target and the variance of its code's noise, per component of a raw row."""
    matrix: bool
    """Whether S is a matrix."""
    phrase: str
    """What the loss is divided by, for people."""


def _energy(statistics: TargetStatistics, _noise: float) -> Tensor:
    return torch.tensor(1.0 / statistics.energy, dtype=torch.float64)


def _mean(statistics: TargetStatistics, _noise: float) -> Tensor:
    return torch.tensor(1.0 / len(statistics.mean), dtype=torch.float64)


def _whitened(statistics: TargetStatistics, noise: float) -> Tensor:
    # S = sum_c u_c u_c^T / (d (lambda_c + delta)),  delta = max(noise after normalisation, 0.01 mean lambda)
    values, vectors = statistics.principal
    delta = max(noise * statistics.shrinkage, FLOOR * float(values.mean()))
    return (vectors / (len(values) * (values + delta))) @ vectors.T


def _beyond_top(statistics: TargetStatistics, _noise: float) -> Tensor:
    # S = (1 - U U^T) / (energy beyond U), with U the strongest directions
    values, vectors = statistics.principal
    top = vectors[:, :TOP]
    projector = torch.eye(len(values), dtype=torch.float64, device=values.device) - top @ top.T
    return projector / values[TOP:].sum()


WEIGHINGS = {
    "energy": Weighing(_energy, False, "the teacher's centred energy"),
    "mean": Weighing(_mean, False, "the width"),
    "whitened": Weighing(_whitened, True, "the variance in each principal direction"),
    "beyond_top": Weighing(_beyond_top, True, f"the energy beyond the {TOP} strongest directions"),
}
"""The ways by name."""


def has_complement(statistics: TargetStatistics) -> bool:
    """Return whether a target varies beyond its strongest directions, so that `beyond_top` means something."""
    values, _ = statistics.principal
    return float(values[TOP:].sum()) > LEAST_SHARE * float(values.sum())
