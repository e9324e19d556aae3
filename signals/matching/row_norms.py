"""Normalisations of rows of states, before a student's is compared with a teacher's.

`rms` is the pre-norm counterpart of a post-LN model's states: the stream over its root mean square, which every later sub-layer
reads up to its own weights. It removes the scale of a token, and the growth of the stream with depth. `none` changes nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

SMALLEST_SQUARE = 1e-6
"""What is added to the mean square, as T5's own norms do, so that a state of zeros stays zero."""


@dataclass(frozen=True, slots=True)
class RowNorm:
    """A normalisation and its derivative."""

    name: str
    of: Callable[[Tensor], Tensor]
    """Return the normalised rows of rows [n, d]."""
    backward: Callable[[Tensor, Tensor, Tensor], Tensor]
    """Return dh from the rows h, the normalised rows x and dx, [n, d] each."""


def root_mean_square(rows: Tensor) -> Tensor:
    """Return sqrt(mean_c h_c^2 + SMALLEST_SQUARE) of rows [n, d], as [n, 1]."""
    return torch.sqrt(rows.square().mean(-1, keepdim=True) + SMALLEST_SQUARE)


def over_rms(rows: Tensor) -> Tensor:
    """Return n(x) = x / sqrt(mean_c x_c^2 + SMALLEST_SQUARE) of rows [..., d]: the RMSNorm of T5 without its learned weights.

    B. Zhang, R. Sennrich, Root Mean Square Layer Normalization, arXiv 1910.07467, equation 4.
    """
    return rows * torch.rsqrt(rows.square().mean(-1, keepdim=True) + SMALLEST_SQUARE)


def _over_rms_backward(rows: Tensor, x: Tensor, dx: Tensor) -> Tensor:
    # x = h / r and dr/dh = x / d, so dh = (dx - x mean_c(x_c dx_c)) / r
    return (dx - x * (x * dx).mean(-1, keepdim=True)) / root_mean_square(rows)


NORMS = {
    "rms": RowNorm("rms", over_rms, _over_rms_backward),
    "none": RowNorm("none", lambda rows: rows, lambda _rows, _x, dx: dx),
}
"""The normalisations by name."""
