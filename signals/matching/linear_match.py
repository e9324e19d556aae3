"""The squared error of linearly mapped states with its gradient, in blocks of tokens: no tokens x width tensor outlives a block.

For a token with the student's row h and the teacher's row t, with n and m normalisations of `row_norms.py`,

    x = n(h),    y = m(t),    p = W x + b,    e = p - y,    value = e^T S e
    g = dvalue/dp = 2 S e,    dW = g x^T,    db = g,    dx = W^T g,    dh = (the transposed Jacobian of n at h) dx

summed over tokens; one sweep computes the value and the gradients. S is a number s (then value = s |e|^2) or a symmetric matrix.
W may be block-diagonal: with R blocks, x, p and the rows of W are cut into R equal parts. The teacher does not get a gradient.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .row_norms import RowNorm

BLOCK_ROWS = {"cpu": 1024, "cuda": 4096}
"""The number of tokens per block: a CPU block is small enough for fast memory, a CUDA block keeps a GPU busy."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """What is compared: the teacher's side, the tokens that count, and how an error is weighed."""

    theirs: Tensor
    """The teacher's tensor, [..., d_T]."""
    rows: Tensor
    """The places of the tokens that count in the flattened leading dimensions, int64 [tokens]."""
    norm: RowNorm
    """The normalisation n of the student's side."""
    their_norm: RowNorm
    """The normalisation m of the teacher's side, the same unless the teacher's tensor is not of the same kind."""
    metric: Tensor
    """S above: a scalar, or symmetric [d_T, d_T]."""


def match_sum(ours: Tensor, weight: Tensor | None, bias: Tensor | None, comparison: Comparison) -> Tensor:
    """Return the sum over tokens of e^T S e, a scalar in float32 (float64 if `ours` is float64).

    `ours` is the student's tensor, [..., d_S]. `weight` is [d_T, d_S], or [R, d_T / R, d_S / R] for R blocks. `bias` is [d_T].
    Both are None for the identity. The first backward hands the gradients over; a second one raises RuntimeError.
    """
    if not torch.is_grad_enabled():  # needs_input_grad would still be true of a parameter
        ours = ours.detach()
        weight, bias = (None if one is None else one.detach() for one in (weight, bias))
    total: Tensor = LinearMatch.apply(ours, weight, bias, comparison)  # type: ignore[no-untyped-call]
    return total


class LinearMatch(torch.autograd.Function):
    """apply(ours, weight, bias, comparison) -> sum over tokens; see `match_sum`."""

    @staticmethod
    def forward(ctx: Any, ours: Tensor, weight: Tensor | None, bias: Tensor | None, comparison: Comparison) -> Tensor:
        """Compute the value and, where gradients are wanted, keep them for `backward`."""
        dtype = torch.float64 if ours.dtype == torch.float64 else torch.float32
        h, t = ours.reshape(-1, ours.shape[-1]), comparison.theirs.reshape(-1, comparison.theirs.shape[-1])
        blocks = None if weight is None else weight.to(dtype).reshape(-1, *weight.shape[-2:])  # [R, d_T / R, d_S / R]
        d_ours, d_weight, d_bias = (
            torch.zeros(like.shape, dtype=dtype, device=h.device) if like is not None and needed else None
            for like, needed in zip((h, blocks, bias), ctx.needs_input_grad, strict=False)
        )
        metric = comparison.metric.to(dtype)
        total = torch.zeros((), dtype=dtype, device=h.device)
        size = BLOCK_ROWS["cpu" if h.device.type == "cpu" else "cuda"]
        for first in range(0, len(comparison.rows), size):
            rows = comparison.rows[first : first + size]
            own = h[rows].to(dtype)
            x = comparison.norm.of(own)
            # e = W x + b - y
            mapped = x if blocks is None else _mapped(x, blocks)
            error = mapped - comparison.their_norm.of(t[rows].to(dtype))
            if bias is not None:
                error += bias.to(dtype)
            # value = e^T S e,  g = 2 S e
            weighed = error @ metric if metric.ndim else error * metric
            total += (error * weighed).sum()
            g = weighed.mul_(2.0)
            if d_bias is not None:
                d_bias += g.sum(0)
            if d_weight is not None:
                # dW = g^T x
                d_weight.baddbmm_(_cut(g, len(d_weight)).mT, _cut(x, len(d_weight)))
            if d_ours is not None:
                dx = g if blocks is None else _mapped(g, blocks.mT)
                d_ours[rows] = comparison.norm.backward(own, x, dx)
        ctx.stored = (
            None if d_ours is None else d_ours.to(ours.dtype).view(ours.shape),
            None if d_weight is None or weight is None else d_weight.to(weight.dtype).view(weight.shape),
            None if d_bias is None or bias is None else d_bias.to(bias.dtype),
        )
        return total

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        """Return the stored gradients times the upstream scalar, in their own memory."""
        if ctx.stored is None:
            raise RuntimeError("the gradients were handed over by the first backward; compute the loss again")
        stored, ctx.stored = ctx.stored, None
        return *(None if one is None else one.mul_(upstream[0]) for one in stored), None


def _cut(rows: Tensor, parts: int) -> Tensor:
    """Return rows [n, R x width] as [R, n, width]."""
    return rows.view(len(rows), parts, -1).transpose(0, 1)


def _mapped(rows: Tensor, blocks: Tensor) -> Tensor:
    """Return rows [n, R x in], mapped by blocks [R, out, in], as [n, R x out]."""
    return torch.bmm(_cut(rows, len(blocks)), blocks.mT).transpose(0, 1).flatten(1)
