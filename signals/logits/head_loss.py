"""Losses on next-token logits with their gradients, in chunks of positions: no positions x vocabulary tensor outlives a chunk.

For N positions with hidden states h [N, d] and the head's weight W [V, d], the logits are z = scale h W^T. The sweep computes a
chunk's values (`targets.py`) and turns its logits into dz. It adds up d h = scale dz W and d W = scale dz^T h in float32.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from .targets import ChunkEntries, LogitTarget, starts_of_chunks, value_and_gradient

CHUNK_POSITIONS = {"cpu": 256, "cuda": 1024}
"""The number of positions per chunk, for any V. It is large enough that reading the head's weight costs little beside
multiplying by it. A chunk of fewer than d positions has logits smaller than that weight."""


def head_loss_sums(hidden: Tensor, weight: Tensor, scale: float, targets: Sequence[LogitTarget]) -> Tensor:
    """Return every target's loss summed over positions, float32 [targets], in nats.

    `hidden` [N, d] is the decoder's output at the positions that count, `weight` [V, d] the head's weight, `scale` the factor
    between them (`Family.head`). Under autocast the products run in its dtype, as they would in the head itself; everything
    else is float32. The first backward hands the gradients over; a second one raises RuntimeError.
    """
    kind = hidden.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else hidden.dtype
    if not torch.is_grad_enabled():  # needs_input_grad would still be true of a parameter
        hidden, weight = hidden.detach(), weight.detach()
    with torch.autocast(kind, enabled=False):
        sums: Tensor = HeadLoss.apply(hidden, weight, scale, tuple(targets), dtype)  # type: ignore[no-untyped-call]
    return sums


@torch.no_grad()
def likeliest_ids(hidden: Tensor, weight: Tensor) -> Tensor:
    """Return argmax_v of h W^T at each position, int64 [N], for hidden states [N, d] and a head's weight [V, d].

    The head's scale is positive and does not change it.
    """
    size = _positions_per_chunk(hidden)
    return torch.cat([(part @ weight.T).argmax(-1) for part in torch.split(hidden, size)])


def _positions_per_chunk(hidden: Tensor) -> int:
    return CHUNK_POSITIONS["cpu" if hidden.device.type == "cpu" else "cuda"]


class HeadLoss(torch.autograd.Function):
    """apply(hidden, weight, scale, targets, dtype of the products) -> sums [targets]; see `head_loss_sums`."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, scale: float, targets: tuple[LogitTarget, ...], dtype: torch.dtype
    ) -> Tensor:
        """Compute the values [targets] and, where gradients are wanted, `d h` and `d W` of every target on the way."""
        sweep = _Sweep.over(hidden, weight, scale, len(targets), dtype, ctx.needs_input_grad)
        size = _positions_per_chunk(hidden)
        bounds = [*range(0, len(hidden), size), len(hidden)]
        starts = [[starts_of_chunks(entries, bounds) for entries in target.lists] for target in targets]
        sums = torch.zeros(len(targets), device=hidden.device)
        buffers = torch.empty(min(2, len(targets)), min(size, len(hidden)), len(weight), device=hidden.device)
        for chunk, (first, end) in enumerate(pairwise(bounds)):
            rows = slice(first, end)
            # z = scale h W^T
            logits = sweep.logits(rows, out=buffers[0, : end - first])
            for number, target in enumerate(targets):
                last = number + 1 == len(targets)
                z = logits if last else buffers[1, : end - first].copy_(logits)  # each target overwrites its logits
                lists = [
                    ChunkEntries.of(entries, slice(*bounds_of[chunk : chunk + 2]), first, z.shape[1])
                    for entries, bounds_of in zip(target.lists, starts[number], strict=True)
                ]
                # L(z), and z <- dL/dz / T
                sums[number] += value_and_gradient(z, target, lists, rows, sweep.wanted)
                # d h = scale T z W,  d W += scale T z^T h
                sweep.take(number, rows, z, target.temperature)
        ctx.stored, ctx.dtypes = (sweep.d_hidden, sweep.d_weight), (hidden.dtype, weight.dtype)
        return sums

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        """Return the sum of the stored gradients, each multiplied by its upstream number."""
        if ctx.stored is None:
            raise RuntimeError("the head's gradients were handed over by the first backward; compute the loss again")
        stored, ctx.stored = ctx.stored, None
        d_hidden, d_weight = (
            None if gradients is None else _combined(gradients, upstream[0]).to(dtype)
            for gradients, dtype in zip(stored, ctx.dtypes, strict=True)
        )
        return d_hidden, d_weight, None, None, None


def _combined(stored: Tensor, upstream: Tensor) -> Tensor:
    """Return sum_i upstream_i stored_i, in the memory of the first."""
    total = stored[0].mul_(upstream[0])
    for part, factor in zip(stored[1:], upstream[1:], strict=True):
        total.add_(part.mul_(factor))
    return total


@dataclass(slots=True)
class _Sweep:
    """The factors of the products with the head, and the gradients so far."""

    hidden: Tensor
    """scale h, [N, d], in the dtype of the products."""
    weight: Tensor
    """W, [V, d], in the dtype of the products."""
    scale: float
    d_hidden: Tensor | None
    """float32 [targets, N, d]; None if not wanted."""
    d_weight: Tensor | None
    """float32 [targets, V, d]; None if not wanted."""

    @classmethod
    def over(
        cls, hidden: Tensor, weight: Tensor, scale: float, losses: int, dtype: torch.dtype, needs: Sequence[bool]
    ) -> "_Sweep":
        d_hidden, d_weight = (
            torch.zeros(losses, *tensor.shape, device=tensor.device) if need else None
            for tensor, need in zip((hidden, weight), needs, strict=False)
        )
        return cls((hidden * scale).to(dtype), weight.to(dtype), scale, d_hidden, d_weight)

    @property
    def wanted(self) -> bool:
        return self.d_hidden is not None or self.d_weight is not None

    def logits(self, rows: slice, out: Tensor) -> Tensor:
        """Write the logits of some positions into `out`, float32 [positions, V], and return it."""
        if self.weight.dtype == out.dtype:
            return torch.mm(self.hidden[rows], self.weight.T, out=out)
        return out.copy_(self.hidden[rows] @ self.weight.T)

    def take(self, number: int, rows: slice, dz: Tensor, factor: float) -> None:
        """Add the gradients that come from `factor` times dz [positions, V] of some positions."""
        dz = dz.to(self.weight.dtype)
        if self.d_hidden is not None:
            self.d_hidden[number, rows] = (dz @ self.weight).float().mul_(factor * self.scale)
        if self.d_weight is not None:
            hidden = self.hidden[rows] * factor
            if dz.dtype == torch.float32:
                self.d_weight[number].addmm_(dz.T, hidden)
            else:
                self.d_weight[number] += dz.T @ hidden
