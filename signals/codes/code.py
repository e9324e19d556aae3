"""The relation code: Q, K and V of one site, or hidden states, as small integers in one jointly fitted basis.

Q, K and V of a self-attention are three linear images of one layer input. So the rows [Q|K|V] (width 3 x inner) have a joint
rank of at most d_model. We fit one basis on all three, round all components with one step and compress the integers with an
entropy coder. That costs a tenth of storing the factors in bfloat16, at the same relation KL. Components weaker than the step
vanish (reverse water-filling, Cover & Thomas, section 10.3.3), which beats cutting the rank.

The cache holds the token ids, so a row is coded as its difference from the mean row of its token. The basis is orthonormal in
the metric M = L L^T in which errors cost relation KL (`sensitivity.py`); for hidden states M = 1:

    encode   C = quantize( (X - mean) A - token_mean, step )         integers [tokens, rank]          A = L E^T
    decode   X = (C * step + token_mean) B + mean                    float32 [tokens, width]          B = E L^-1

E are the orthonormal eigenvectors, strongest first, of the covariance of what the token means leave (`fit.py`). `quantize`
rounds with a dead zone (`quantizer.py`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...errors import ConfigurationError
from .quantizer import quantize


@dataclass(frozen=True, slots=True)
class CodePlace:
    """Which tensors of a site share one code, where its integers are stored, and the token axis of its rows."""

    name: str
    blocks: tuple[str, ...]
    """The names of the tensors, which are side by side in a row."""
    axis: str
    """The token axis of the rows: `input` or `target`."""
    column: str
    """The column of a shard that holds the integers."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RelationCode:
    """The two maps between rows [tokens, width] and integer coefficients [tokens, rank]."""

    blocks: tuple[str, ...]
    step: float
    mean: Tensor
    """The mean row, float32 [width]."""
    synthesis: Tensor
    """B above, float32 [rank, width]."""
    analysis: Tensor
    """A above, float32 [width, rank]; needed only to encode."""
    spread: Tensor
    """The standard deviation of each component, float32 [rank]; needed only to encode."""
    token_ids: Tensor
    """The tokens that have a mean of their own, int32 [known], ascending."""
    token_means: Tensor
    """Their means in the basis, relative to `mean`, float32 [known, rank]. The mean of every other token is zero."""

    @property
    def rank(self) -> int:
        """The number of components."""
        return self.synthesis.shape[0]

    def expected(self, tokens: Tensor) -> Tensor:
        """Return the means of token ids [...], float32 [..., rank]."""
        if not len(self.token_ids):
            return self.token_means.new_zeros(*tokens.shape, self.rank)
        ids = tokens.to(self.token_ids.dtype).contiguous()
        place = torch.searchsorted(self.token_ids, ids).clamp_max(len(self.token_ids) - 1)
        return self.token_means[place] * (self.token_ids[place] == ids)[..., None]

    def coefficients(self, rows: Tensor, tokens: Tensor) -> Tensor:
        """Return the coefficients before rounding, float32 [..., rank], of rows [..., width] of tokens [...]."""
        return (rows.float() - self.mean) @ self.analysis - self.expected(tokens)

    def encode(self, rows: Tensor, tokens: Tensor) -> Tensor:
        """Return the integers of rows [..., width] of tokens [...]: int32 [..., rank], on the device of the rows.

        Raises ConfigurationError if the step is so small that they do not fit into 32 bits.
        """
        integers = quantize(self.coefficients(rows, tokens), self.step, self.spread)
        if bool((integers.abs() >= 2.0**31).any()):
            raise ConfigurationError(
                f"a step of {self.step:g} is too small: coefficients exceed 32 bits; use a larger one"
            )
        return integers.to(torch.int32)

    def decode(self, integers: Tensor, tokens: Tensor) -> Tensor:
        """Return the rows, float32 [..., width], of integers [..., rank] and token ids [...]."""
        return (integers.to(torch.float32) * self.step + self.expected(tokens)) @ self.synthesis + self.mean

    def split(self, rows: Tensor) -> dict[str, Tensor]:
        """Return the blocks of rows [..., width] by name, each [..., inner]."""
        return dict(zip(self.blocks, rows.chunk(len(self.blocks), dim=-1), strict=True))

    def truncated(self, rank: int) -> "RelationCode":
        """Return the code with only its strongest `rank` components."""
        return replace(
            self,
            synthesis=self.synthesis[:rank].contiguous(),
            analysis=self.analysis[:, :rank].contiguous(),
            spread=self.spread[:rank].contiguous(),
            token_means=self.token_means[:, :rank].contiguous(),
        )

    def with_step(self, step: float) -> "RelationCode":
        """Return the code with another quantizer step."""
        return replace(self, step=step)

    def to(self, device: torch.device | str) -> "RelationCode":
        """Return the code with its tensors on a device."""
        return replace(self, **{name: getattr(self, name).to(device) for name in ARRAYS})


ARRAYS = ("mean", "synthesis", "analysis", "spread", "token_ids", "token_means")
"""The names of a code's tensors."""


def join_blocks(tensors: Mapping[str, Tensor], blocks: Sequence[str]) -> Tensor:
    """Return the rows [..., width] of a code, made of a site's tensors by name."""
    return torch.cat([tensors[block] for block in blocks], dim=-1)
