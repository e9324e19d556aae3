"""A filter of TED (Liang et al. 2023, arXiv 2210.01351, section 4) and its adapter, for the states of one layer of a T5.

For the state h [d] of a token, with n(h) = h over its root mean square (`signals/matching/row_norms.py`):

    z = W n(h) + b          the filter: what a student is compared with, [d_F]
    h' = U z + c            the adapter: a state from which the frozen model goes on, [d]

The published filter has a head of its own instead of U and c; a model that goes on from h' needs none (ours). The pair is only
defined up to an invertible map G: W, b -> G W, G b and U -> U G^-1 change no h', but any squared error of z. `gauged` chooses the
one whose U has orthonormal columns. Then |z - z'| = |h' - h''|: an error of z is the error of the state that the model reads.
"""

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from ..matching.row_norms import NORMS
from ..matching.target_statistics import TargetStatistics
from ..sites import Site

FILTERED = "filtered"
"""The name of the tensor z at the site of a filter."""
NORM = "rms"
"""The name of the normalisation n."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Filter:
    """The filter of one site with its adapter."""

    site: Site
    weight: Tensor
    """W, [d_F, d]."""
    bias: Tensor
    """b, [d_F]."""
    back: Tensor
    """U, [d, d_F]."""
    offset: Tensor
    """c, [d]."""

    @property
    def width(self) -> int:
        """The width d_F of what it returns."""
        return len(self.bias)

    def of(self, states: Tensor) -> Tensor:
        """Return z [..., d_F] of states [..., d]."""
        # z = W n(h) + b
        return torch.nn.functional.linear(NORMS[NORM].of(states.float()), self.weight, self.bias)

    def state(self, filtered: Tensor) -> Tensor:
        """Return the state h' [..., d] of z [..., d_F]."""
        # h' = U z + c
        return torch.nn.functional.linear(filtered, self.back, self.offset)

    def gauged(self) -> "Filter":
        """Return the filter of the same states h' whose adapter has orthonormal columns."""
        # U = Q R with a positive diagonal of R;  W <- R W,  b <- R b,  U <- Q
        q, r = torch.linalg.qr(self.back.double())
        signs = torch.where(r.diagonal() < 0, -1.0, 1.0).to(r)
        q, r = q * signs, signs[:, None] * r
        weight, bias = r @ self.weight.double(), r @ self.bias.double()
        return replace(self, weight=weight.to(self.weight), bias=bias.to(self.weight), back=q.to(self.weight))

    def to(self, device: torch.device) -> "Filter":
        """Return the filter on a device."""
        return Filter(site=self.site, **{name: tensor.to(device) for name, tensor in self.tensors().items()})

    def tensors(self) -> dict[str, Tensor]:
        """Return W, b, U and c by name."""
        return {one.name: getattr(self, one.name) for one in fields(self) if one.name != "site"}


def principal_filter(site: Site, statistics: TargetStatistics, width: int) -> Filter:
    """Return the filter of the first `width` principal directions of n(h), whose h' is the projection of n(h) on them.

    A filter that starts here is already an early exit; the published one starts from random weights.
    """
    _, vectors = statistics.principal
    mean, directions = statistics.mean, vectors[:, :width]
    # W = V^T,  b = -V^T mean,  U = V,  c = mean
    tensors = {"weight": directions.T, "bias": -directions.T @ mean, "back": directions, "offset": mean}
    return Filter(site=site, **{name: tensor.float().contiguous() for name, tensor in tensors.items()})
