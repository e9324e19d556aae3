"""The statistics of a teacher's tensor that a loss starts from: its mean, its energy and its principal directions.

Over the tokens t of some decoded examples, with y_t the normalised row, in float64:

    mean = mean_t y_t        energy = mean_t |y_t - mean|^2        covariance = mean_t (y_t - mean) (y_t - mean)^T

The energy is centred: relative to |y|^2, a student that only gives the mean would explain half of a T5's stream.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from .row_norms import NORMS, root_mean_square


@dataclass(frozen=True, order=True, slots=True)
class Target:
    """A tensor of the teacher, as a loss compares it."""

    site: str
    """The full name of the site."""
    tensor: str
    """The name of the tensor at the site."""
    norm: str = "none"
    """The name of the normalisation."""
    directions: bool = False
    """Whether the principal directions are wanted too, which cost the square of the width."""


class TargetStatistics:
    """Sums over tokens of one target, and what follows from them."""

    def __init__(self, target: Target, width: int, device: torch.device) -> None:
        self.target, self.tokens = target, 0
        self._sum = torch.zeros(width, dtype=torch.float64, device=device)
        self._squares = torch.zeros((), dtype=torch.float64, device=device)
        self._products = torch.zeros(width, width, dtype=torch.float64, device=device) if target.directions else None
        self._inverse = torch.zeros((), dtype=torch.float64, device=device)

    def add(self, rows: Tensor) -> None:
        """Add the teacher's rows of some tokens, as they were decoded, [tokens, width]."""
        rows = rows.double()
        y = NORMS[self.target.norm].of(rows)
        self.tokens += len(rows)
        self._sum += y.sum(0)
        self._squares += y.square().sum()
        if self._products is not None:
            self._products.addmm_(y.T, y)
        if self.target.norm == "rms":
            self._inverse += root_mean_square(rows).square().reciprocal().sum()
        else:
            self._inverse += len(rows)

    @property
    def mean(self) -> Tensor:
        """The mean row, float64 [width]."""
        return self._sum / self.tokens

    @property
    def energy(self) -> float:
        """The centred energy per token."""
        return float(self._squares / self.tokens - self.mean.square().sum())

    @property
    def shrinkage(self) -> float:
        """The mean factor by which normalisation shrinks a small squared error of the raw rows; 1 without normalisation."""
        return float(self._inverse / self.tokens)

    @cached_property
    def principal(self) -> tuple[Tensor, Tensor]:
        """The eigenvalues [width] and orthonormal eigenvectors [width, width] of the covariance, the strongest first."""
        assert self._products is not None
        mean = self.mean
        values, vectors = torch.linalg.eigh(self._products / self.tokens - torch.outer(mean, mean))
        return values.flip(0).clamp_min(0.0), vectors.flip(1)
