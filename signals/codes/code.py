"""The relation code: Q, K and V of one site, or hidden states, as small integers in one jointly fitted basis.

Q, K and V of a self-attention are three linear images of one layer input, so the rows [Q|K|V] (width 3 x inner) have a joint
rank of at most d_model. A basis fitted on all three, one uniform step for all of its components and an entropy coder behind
it cost a tenth of the factors in bfloat16 at the same relation KL; components weaker than the step vanish (reverse
water-filling, Cover & Thomas, section 10.3.3), which beats cutting the rank.

What a token's id says of its row need not be stored: a row is coded as its difference from the mean row of its token.
The basis is orthonormal in the metric in which errors cost relation KL (`sensitivity.py`), M = L L^T, for hidden states 1:

    encode   C = quantise( (X - mean) A - token_mean, step )         integers [tokens, rank]          A = L E^T
    decode   X = (C * step + token_mean) B + mean                    float32 [tokens, width]          B = E L^-1

with E the orthonormal eigenvectors of the covariance of what remains (`fit.py`), strongest first, and `quantise` rounding
with a dead zone (`quantiser.py`).
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
    """The tensors, side by side in a row."""
    axis: str
    column: str
    """The column of a shard that holds the integers."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RelationCode:
    """The two maps between rows [tokens, width] and integer coefficients [tokens, rank]."""

    blocks: tuple[str, ...]
    step: float
    mean: Tensor
    """float32 [width]"""
    synthesis: Tensor
    """float32 [rank, width]: B above."""
    analysis: Tensor
    """float32 [width, rank]: A above, needed to encode alone."""
    spread: Tensor
    """float32 [rank]: standard deviation of each component, needed to encode alone."""
    token_ids: Tensor
    """int32 [known], ascending: the tokens that have a mean of their own."""
    token_means: Tensor
    """float32 [known, rank]: in the basis, relative to `mean`; every other token's is zero."""

    @property
    def rank(self) -> int:
        """Number of components."""
        return self.synthesis.shape[0]

    def expected(self, tokens: Tensor) -> Tensor:
        """Means float32 [..., rank] of token ids [...]."""
        if not len(self.token_ids):
            return self.token_means.new_zeros(*tokens.shape, self.rank)
        ids = tokens.to(self.token_ids.dtype).contiguous()
        place = torch.searchsorted(self.token_ids, ids).clamp_max(len(self.token_ids) - 1)
        return self.token_means[place] * (self.token_ids[place] == ids)[..., None]

    def coefficients(self, rows: Tensor, tokens: Tensor) -> Tensor:
        """Unquantised coefficients, float32 [..., rank], for rows [..., width] of tokens [...]."""
        return (rows.float() - self.mean) @ self.analysis - self.expected(tokens)

    def encode(self, rows: Tensor, tokens: Tensor) -> Tensor:
        """Integer coefficients, int32 [..., rank], on the device of the rows.

        Raises ConfigurationError where the step is so small that they do not fit.
        """
        integers = quantize(self.coefficients(rows, tokens), self.step, self.spread)
        if bool((integers.abs() >= 2.0**31).any()):
            raise ConfigurationError(
                f"a step of {self.step:g} is too small: coefficients exceed 32 bits; use a larger one"
            )
        return integers.to(torch.int32)

    def decode(self, integers: Tensor, tokens: Tensor) -> Tensor:
        """Rows, float32 [..., width], of integers [..., rank] and token ids [...]."""
        return (integers.to(torch.float32) * self.step + self.expected(tokens)) @ self.synthesis + self.mean

    def split(self, rows: Tensor) -> dict[str, Tensor]:
        """The blocks of rows [..., width] by name, each [..., inner]."""
        return dict(zip(self.blocks, rows.chunk(len(self.blocks), dim=-1), strict=True))

    def truncated(self, rank: int) -> "RelationCode":
        """The same code with its strongest `rank` components alone."""
        return replace(
            self,
            synthesis=self.synthesis[:rank].contiguous(),
            analysis=self.analysis[:, :rank].contiguous(),
            spread=self.spread[:rank].contiguous(),
            token_means=self.token_means[:, :rank].contiguous(),
        )

    def with_step(self, step: float) -> "RelationCode":
        """The same basis with another quantiser step."""
        return replace(self, step=step)

    def to(self, device: torch.device | str) -> "RelationCode":
        """The same code with its tensors on a device."""
        return replace(self, **{name: getattr(self, name).to(device) for name in ARRAYS})


ARRAYS = ("mean", "synthesis", "analysis", "spread", "token_ids", "token_means")
"""The tensors of a code."""


def join_blocks(tensors: Mapping[str, Tensor], blocks: Sequence[str]) -> Tensor:
    """Rows [..., width] of a code from a site's tensors by kind."""
    return torch.cat([tensors[block] for block in blocks], dim=-1)
