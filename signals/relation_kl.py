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
    row_step: int
    """row i is token i * row_step, by which the causal mask goes"""
    key_valid: Tensor
    """boolean [B, keys]"""
    causal: bool

    def hides_nothing(self) -> bool:
        """No padding and no future; asked on the CPU alone, where the answer costs no synchronisation."""
        return not self.causal and self.key_valid.device.type == "cpu" and bool(self.key_valid.all())

    def bias(self, examples: slice, rows: slice, keys: int) -> Tensor:
        """float32 [b, 1, rows, keys]: 0 for visible keys, HIDDEN for padding and, if causal, the future."""
        visible = self.key_valid[examples, None, None, :keys]
        if self.causal:
            places = torch.arange(keys, device=visible.device)
            tokens = torch.arange(rows.start, rows.stop, device=visible.device) * self.row_step
            visible = visible & (places[None, :] <= tokens[:, None])
        return torch.zeros(visible.shape, device=visible.device).masked_fill_(~visible, HIDDEN)

    def last_key(self, rows: slice) -> int:
        """Number of keys that a block of rows may see at all."""
        return (rows.stop - 1) * self.row_step + 1 if self.causal else self.key_valid.shape[1]


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
        d_left, d_right = (torch.zeros_like(factor) if wanted else factor for factor in (student, other))
        total = torch.zeros((), device=left.device)
        all_visible = compared.hides_nothing()
        for examples, rows in _blocks(left, right.shape[2]):
            keys = compared.last_key(rows)
            weight = compared.row_valid[examples, None, rows, None].float()
            bias = None if all_visible else compared.bias(examples, rows, keys)
            t, p, log_zt = _softmax(teacher[examples, :, rows], teacher_keys[examples, :, :keys], bias)
            s, q, log_zs = _softmax(student[examples, :, rows], other[examples, :, :keys], bias)
            kl = t.sub_(s).mul_(p).sum(-1, keepdim=True).sub_(log_zt).add_(log_zs)
            total += (kl * weight).sum()
            if wanted:
                error = q.sub_(p).mul_(weight)
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


def _softmax(rows: Tensor, keys: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Logits less their row maximum, probabilities, and log of the sum of exp of the former, [b, R, rows, keys or 1]."""
    logits = rows @ keys.transpose(-1, -2)
    if bias is not None:
        logits.add_(bias)
    logits.sub_(logits.amax(-1, keepdim=True))
    p = logits.exp()
    z = p.sum(-1, keepdim=True)
    return logits, p.div_(z), z.log_()


def _blocks(left: Tensor, keys: int) -> Iterator[tuple[slice, slice]]:
    """(examples, rows) slices of about BLOCK_ELEMENTS logits each: whole examples where they fit, else rows of one."""
    batch, heads, rows, _ = left.shape
    budget = BLOCK_ELEMENTS["cpu" if left.device.type == "cpu" else "cuda"]
    together = max(1, budget // max(1, heads * rows * keys))
    at_once = min(rows, max(8, budget // max(1, heads * keys))) if together == 1 else rows
    for example in range(0, batch, together):
        for row in range(0, rows, max(1, at_once)):
            yield slice(example, min(example + together, batch)), slice(row, min(row + at_once, rows))
