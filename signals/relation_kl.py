"""The relation KL with its gradient, in blocks of rows: no L x L tensor outlives a block.

For one row i, with t = alpha A_T C_T^T / sqrt(d_T) and s = alpha A_S C_S^T / sqrt(d_S) over the visible keys j,

    KL_i    = sum_j p_T(ij) (log p_T(ij) - log p_S(ij))
    dKL/ds  = p_S - p_T =: G,        dKL/dA_S = alpha G C_S / sqrt(d_S),        dKL/dC_S = alpha G^T A_S / sqrt(d_S)

so the gradient is formed in the sweep that forms the value. Where left and right are one tensor (QQ, KK, VV) autograd adds
the two gradients. Everything is float32, whatever the dtype of the factors; the teacher gets no gradient.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

HIDDEN = -1e30
"""Added to the logits of hidden keys: finite, and its exponential is exactly zero."""

BLOCK_ELEMENTS = {"cpu": 2**19, "cuda": 2**26}
"""Logits per block: what stays in a core's cache, and what keeps a GPU busy."""


@dataclass(frozen=True, slots=True)
class RowsToCompare:
    """Which rows and keys of a relation count, for [B, rows] against [B, keys]."""

    row_valid: Tensor
    """boolean [B, rows]"""
    row_position: Tensor
    """int64 [rows]: the place of each row among all rows, by which the causal mask goes"""
    key_valid: Tensor
    """boolean [B, keys]"""
    causal: bool

    def bias(self, examples: slice, rows: slice, keys: int) -> Tensor:
        """float32 [b, 1, rows, keys]: 0 for visible keys, HIDDEN for padding and, if causal, the future."""
        visible = self.key_valid[examples, None, None, :keys]
        if self.causal:
            places = torch.arange(keys, device=visible.device)
            visible = visible & (places[None, :] <= self.row_position[rows, None])
        return torch.zeros(visible.shape, device=visible.device).masked_fill_(~visible, HIDDEN)

    def last_key(self, rows: slice) -> int:
        """Number of keys that a block of rows may see at all."""
        return int(self.row_position[rows][-1]) + 1 if self.causal else self.key_valid.shape[1]


class BlockedRelationKL(torch.autograd.Function):
    """apply(left, right, teacher_left, teacher_right, compared, alpha) -> scalar sum of KLs over valid rows and heads.

    left [B, R, rows, d_S] and right [B, R, keys, d_S] are the student's factors, the teacher's likewise with d_T.
    """

    @staticmethod
    def forward(
        ctx: Any,
        left: Tensor,
        right: Tensor,
        teacher_left: Tensor,
        teacher_right: Tensor,
        compared: RowsToCompare,
        alpha: float,
    ) -> Tensor:
        """The value; the gradients are formed on the way where they are wanted."""
        wanted = any(ctx.needs_input_grad)
        scale = alpha / math.sqrt(left.shape[-1])
        student, other = left.float() * scale, right.float()
        teacher = teacher_left.float() * (alpha / math.sqrt(teacher_left.shape[-1]))
        teacher_keys = teacher_right.float()
        d_left, d_right = torch.zeros_like(student), torch.zeros_like(other)
        total = torch.zeros((), device=left.device)
        for examples, rows in _blocks(left, right.shape[2]):
            keys = compared.last_key(rows)
            weight = compared.row_valid[examples, None, rows, None].float()
            bias = compared.bias(examples, rows, keys)
            log_p = _log_probabilities(teacher[examples, :, rows], teacher_keys[examples, :, :keys], bias)
            log_q = _log_probabilities(student[examples, :, rows], other[examples, :, :keys], bias)
            p = log_p.exp()
            total += (log_p.sub_(log_q).mul_(p).sum(-1, keepdim=True) * weight).sum()
            if wanted:
                error = log_q.exp_().sub_(p).mul_(weight)
                d_left[examples, :, rows] = error @ other[examples, :, :keys]
                d_right[examples, :, :keys] += error.transpose(-1, -2) @ student[examples, :, rows]
        if wanted:
            ctx.save_for_backward(d_left.mul_(scale).to(left.dtype), d_right.to(right.dtype))
        return total

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        """The stored gradients times the upstream scalar."""
        d_left, d_right = ctx.saved_tensors
        return d_left * upstream[0], d_right * upstream[0], None, None, None, None


def _log_probabilities(rows: Tensor, keys: Tensor, bias: Tensor) -> Tensor:
    """log softmax of rows keys^T + bias, [b, R, rows, keys], in one buffer."""
    logits = (rows @ keys.transpose(-1, -2)).add_(bias)
    return logits.sub_(logits.logsumexp(-1, keepdim=True))


def _blocks(left: Tensor, keys: int) -> Iterator[tuple[slice, slice]]:
    """(examples, rows) slices of about BLOCK_ELEMENTS logits each: whole examples where they fit, else rows of one."""
    batch, heads, rows, _ = left.shape
    budget = BLOCK_ELEMENTS["cpu" if left.device.type == "cpu" else "cuda"]
    together = max(1, budget // max(1, heads * rows * keys))
    at_once = min(rows, max(8, budget // max(1, heads * keys))) if together == 1 else rows
    for example in range(0, batch, together):
        for row in range(0, rows, max(1, at_once)):
            yield slice(example, min(example + together, batch)), slice(row, min(row + at_once, rows))
