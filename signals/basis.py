"""The relation code: Q, K and V of one site as small integers in one jointly fitted basis.

Q, K and V of a self-attention are three linear images of one layer input, so the rows [Q|K|V] (width 3 x inner) have a joint
rank of at most d_model. A basis fitted on all three, one uniform step for all of its components and an entropy coder behind
it cost a tenth of the factors in bfloat16 at the same relation KL; components weaker than the step vanish (reverse
water-filling, Cover & Thomas, section 10.3.3), which beats cutting the rank.

The rows' blocks are weighted before the fit, so that the same quantisation error in any block costs the same relation KL:

    encode   C = round( ((X - mean) * weight) E^T / step )          integers [tokens, rank]
    decode   X = (C * step) B + mean                                 B = E / weight, float32 [rank, width]

with E the orthonormal eigenvectors of the weighted covariance, computed in float64 on the CPU, strongest first, each with its
largest entry positive, so that a calibration is reproducible.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..errors import ConfigurationError
from .sites import KINDS, Site


@dataclass(frozen=True, slots=True)
class CodePlace:
    """Which columns of a site share one code, and the token axis that its rows lie on."""

    name: str
    blocks: tuple[str, ...]
    axis: str


def code_places(site: Site) -> tuple[CodePlace, ...]:
    """One code [Q|K|V] for a self-attention; Q and [K|V] apart for cross-attention, whose tokens differ."""
    if site.name == "decoder.cross":
        return (CodePlace("query", ("query",), "target"), CodePlace("key_value", ("key", "value"), "input"))
    return (CodePlace("query_key_value", KINDS, site.query_axis),)


@dataclass(frozen=True, kw_only=True, slots=True)
class RelationCode:
    """The two maps between rows [tokens, width] and integer coefficients [tokens, rank]."""

    blocks: tuple[str, ...]
    step: float
    mean: Tensor
    """float32 [width]"""
    synthesis: Tensor
    """float32 [rank, width]: B above."""
    weight: Tensor
    """float32 [width]: the block weights of the fit, needed to encode alone."""

    @property
    def rank(self) -> int:
        """Number of components."""
        return self.synthesis.shape[0]

    def coefficients(self, rows: Tensor) -> Tensor:
        """Unrounded coefficients in units of the step, float32 [..., rank], for rows [..., width]."""
        analysis = (self.synthesis * self.weight.square()).T / self.step
        return (rows.float() - self.mean) @ analysis

    def encode(self, rows: Tensor) -> Tensor:
        """Integer coefficients, int32 [..., rank], on the device of the rows.

        Raises ConfigurationError where the step is so small that they do not fit.
        """
        coefficients = self.coefficients(rows).round()
        if bool((coefficients.abs() >= 2.0**31).any()):
            raise ConfigurationError(
                f"a step of {self.step:g} is too small: coefficients exceed 32 bits; use a larger one"
            )
        return coefficients.to(torch.int32)

    def decode(self, coefficients: Tensor) -> Tensor:
        """Rows, float32 [..., width]."""
        return coefficients.to(torch.float32) @ (self.synthesis * self.step) + self.mean

    def split(self, rows: Tensor) -> dict[str, Tensor]:
        """The blocks of rows [..., width] by name, each [..., inner]."""
        return dict(zip(self.blocks, rows.chunk(len(self.blocks), dim=-1), strict=True))

    def truncated(self, rank: int) -> "RelationCode":
        """The same code with its strongest `rank` components alone."""
        return replace(self, synthesis=self.synthesis[:rank].contiguous())

    def with_step(self, step: float) -> "RelationCode":
        """The same basis with another quantiser step."""
        return replace(self, step=step)

    def to(self, device: torch.device | str) -> "RelationCode":
        """The same code with its tensors on a device."""
        return replace(
            self, mean=self.mean.to(device), synthesis=self.synthesis.to(device), weight=self.weight.to(device)
        )


def join_blocks(tensors: Mapping[str, Tensor], blocks: Sequence[str]) -> Tensor:
    """Rows [..., width] of a code from a site's `query`, `key`, `value` tensors."""
    return torch.cat([tensors[block] for block in blocks], dim=-1)


class Moments:
    """Running count, sum and second moment of rows [tokens, width], float64 on the CPU."""

    def __init__(self, width: int) -> None:
        self.count = 0
        self.total = torch.zeros(width, dtype=torch.float64)
        self.square = torch.zeros(width, width, dtype=torch.float64)

    def add(self, rows: Tensor) -> None:
        """Add rows [tokens, width]; padding must have been removed."""
        rows = rows.to("cpu", torch.float64)
        self.count += rows.shape[0]
        self.total += rows.sum(0)
        self.square += rows.T @ rows

    def mean(self) -> Tensor:
        """float64 [width]."""
        return self.total / self.count

    def covariance(self) -> Tensor:
        """float64 [width, width]."""
        mean = self.mean()
        return self.square / self.count - torch.outer(mean, mean)


def fit_code(moments: Moments, blocks: tuple[str, ...], block_weights: Mapping[str, float]) -> RelationCode:
    """The joint basis of the rows seen, complete (rank = width) and with step 1.

    Directions that the rows seen do not use come last; they serve rows that do, where few were seen, and are trimmed else.
    """
    weights = [float(block_weights[block]) for block in blocks]
    weight = torch.tensor(weights, dtype=torch.float64).repeat_interleave(moments.total.numel() // len(blocks))
    covariance = moments.covariance() * torch.outer(weight, weight)
    vectors = torch.linalg.eigh(covariance).eigenvectors.flip(1).T
    largest = vectors.gather(1, vectors.abs().argmax(1, keepdim=True))
    basis = vectors * largest.sign()
    return RelationCode(
        blocks=blocks,
        step=1.0,
        mean=moments.mean().float(),
        synthesis=(basis / weight).float().contiguous(),
        weight=weight.float(),
    )
