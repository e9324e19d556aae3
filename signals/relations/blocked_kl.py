"""The relation KL with its gradient, in blocks of rows: no L x L tensor outlives a block.

Let alpha be the inverse temperature, t = alpha A_T C_T^T / sqrt(d_T) and s = alpha A_S C_S^T / sqrt(d_S). For one row i, over
the visible keys j,

    KL_i    = sum_j p_T(ij) (log p_T(ij) - log p_S(ij))
    dKL/ds  = p_S - p_T =: G,        dKL/dA_S = alpha G C_S / sqrt(d_S),        dKL/dC_S = alpha G^T A_S / sqrt(d_S)

so one sweep computes the value and the gradient. Where left and right are one tensor (QQ, KK, VV), autograd adds the two
gradients. Everything is float32, whatever the dtype of the factors; the teacher does not get a gradient.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

HIDDEN = -1e30
"""The number that is added to the logits of hidden keys: it is finite, and its exponential is exactly zero."""

BLOCK_ELEMENTS = {"cpu": 2**19, "cuda": 2**26}
"""The number of logits per block: a CPU block stays in a core's cache, a CUDA block keeps a GPU busy."""

LEAST_ROWS = 64
"""The smallest number of rows per block, if there are so many: products of fewer rows take longer per logit."""


@dataclass(frozen=True, slots=True)
class RowsToCompare:
    """The rows and keys of a relation that count."""

    row_valid: Tensor
    """Which rows are not padding, boolean [B, rows]."""
    row_step: int
    """The spacing of the rows: row i is token i * row_step, which decides what the causal mask hides."""
    key_valid: Tensor
    """Which keys are not padding, boolean [B, keys]."""
    causal: bool

    def hides_nothing(self) -> bool:
        """Return whether all rows see all keys. False on CUDA, where looking would cost a synchronisation."""
        return not self.causal and self.key_valid.device.type == "cpu" and bool(self.key_valid.all())

    def bias(self, examples: slice, rows: slice, keys: int) -> Tensor:
        """Return what is added to the logits, float32 [b, 1, rows, keys]: 0, or HIDDEN for padding and, if causal, the future."""
        visible = self.key_valid[examples, None, None, :keys]
        if self.causal:
            places = torch.arange(keys, device=visible.device)
            tokens = torch.arange(rows.start, rows.stop, device=visible.device) * self.row_step
            visible = visible & (places[None, :] <= tokens[:, None])
        return torch.zeros(visible.shape, device=visible.device).masked_fill_(~visible, HIDDEN)

    def last_key(self, rows: slice) -> int:
        """Return the number of keys that some row of a block may see."""
        return (rows.stop - 1) * self.row_step + 1 if self.causal else self.key_valid.shape[1]


class BlockedRelationKL(torch.autograd.Function):
    """apply(left, right, teacher_left, teacher_right, compared, inverse_temperature) -> sum of KLs over valid rows and heads.

    left [B, R, rows, d_S] and right [B, R, keys, d_S] are the student's factors; the teacher's have d_T instead of d_S. The sum
    is a scalar, in nats.
    """

    @staticmethod
    def forward(
        ctx: Any,
        left: Tensor,
        right: Tensor,
        teacher_left: Tensor,
        teacher_right: Tensor,
        compared: RowsToCompare,
        inverse_temperature: float,
    ) -> Tensor:
        """Compute the value and, where gradients are wanted, keep them for `backward`."""
        wanted = any(ctx.needs_input_grad)
        heads, scale = left.shape[1], inverse_temperature / math.sqrt(left.shape[-1])
        student, other = _by_head(left, scale), _by_head(right, 1.0)
        teacher, teacher_keys = (
            _by_head(teacher_left, inverse_temperature / math.sqrt(teacher_left.shape[-1])),
            _by_head(teacher_right, 1.0),
        )
        weight = compared.row_valid.float().repeat_interleave(heads, 0)[..., None]
        weighted = student * weight
        d_left, d_right = (torch.zeros_like(factor) if wanted else factor for factor in (student, other.mT))
        total = torch.zeros((), device=left.device)
        all_visible = compared.hides_nothing()
        blocks = list(_blocks(left, right.shape[2], compared.causal))
        room = _room(blocks, right.shape[2], left.device)
        for these, rows in blocks:
            keys, examples = compared.last_key(rows), slice(these.start // heads, -(-these.stop // heads))
            bias = None if all_visible else compared.bias(examples, rows, keys)
            t, p, (t_max, log_p) = _softmax(teacher[these, rows], teacher_keys[these, :keys], bias, room[:2])
            s, q, (s_max, log_q) = _softmax(student[these, rows], other[these, :keys], bias, room[2:])
            # log (Z_T / Z_S) = (t_max - log p_max) - (s_max - log q_max); the differences come first, since they are small
            log_ratio = (t_max - s_max).sub_(log_p - log_q)
            # KL_i = sum_j p (t - s) - log (Z_T / Z_S)
            kl = t.sub_(s).mul_(p).sum(-1, keepdim=True).sub_(log_ratio)
            total += (kl * weight[these, rows]).sum()
            if wanted:
                # G = p_S - p_T,  dKL/dA_S = alpha G C_S / sqrt(d_S),  dKL/dC_S = G^T (alpha A_S / sqrt(d_S))
                error = q.sub_(p)
                d_left[these, rows] = error @ other[these, :keys]
                d_right[these, :, :keys] += weighted[these, rows].mT @ error
        if wanted:
            d_left = d_left.mul_(weight * scale).view_as(left)
            ctx.save_for_backward(d_left.to(left.dtype), d_right.mT.reshape(right.shape).to(right.dtype))
        return total

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        """Return the stored gradients times the upstream scalar."""
        d_left, d_right = ctx.saved_tensors
        return d_left * upstream[0], d_right * upstream[0], None, None, None, None


def _by_head(factor: Tensor, scale: float) -> Tensor:
    """Return a factor [B, R, length, d] times a scale, contiguous, float32 [B x R, length, d]."""
    return (factor.float() * scale).reshape(-1, *factor.shape[2:]).contiguous()


def _softmax(
    rows: Tensor, keys: Tensor, bias: Tensor | None, room: Tensor
) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor]]:
    """Return logits and probabilities [b x R, rows, keys], both in `room` [2, ...], and each row's greatest logit and log p.

    The greatest ones give the normalizer, log Z = s - log p. torch's softmax makes one pass but does not return its sum.
    """
    shape = len(rows), rows.shape[1], keys.shape[1]
    logits, p = (part[: math.prod(shape)].view(shape) for part in room)
    torch.bmm(rows, keys.mT, out=logits)
    if bias is not None:
        logits.view(len(bias), -1, *shape[1:]).add_(bias)
    torch.softmax(logits, -1, out=p)
    return logits, p, (logits.amax(-1, keepdim=True), p.amax(-1, keepdim=True).log_())


def _blocks(left: Tensor, keys: int, causal: bool) -> Iterator[tuple[slice, slice]]:
    """Yield blocks (heads counted through the batch, rows) of about BLOCK_ELEMENTS logits each.

    A block is whole examples if they fit, else some rows of one example, else some rows of some of its heads. Keys that no row of
    a block sees are not computed. So if causal, a block of one example takes at most a quarter of its rows, or 16 rows if more.
    """
    batch, heads, rows, _ = left.shape
    budget = BLOCK_ELEMENTS["cpu" if left.device.type == "cpu" else "cuda"]
    together = max(1, budget // max(1, heads * rows * keys))
    at_once = min(rows, max(LEAST_ROWS, budget // max(1, heads * keys)))
    if causal and together == 1:
        at_once = min(at_once, max(16, -(-rows // 4)))
    group = together * heads if together > 1 else max(1, min(heads, budget // max(1, at_once * keys)))
    for run in range(0, batch, together):
        end = min(run + together, batch) * heads
        for first in range(run * heads, end, group):
            for row in range(0, rows, max(1, at_once)):
                yield slice(first, min(first + group, end)), slice(row, min(row + at_once, rows))


def _room(blocks: list[tuple[slice, slice]], keys: int, device: torch.device) -> Tensor:
    """Return four float32 tensors, each large enough for the logits of any block.

    Fresh memory for every block would cost more than filling it.
    """
    most = max(((h.stop - h.start) * (r.stop - r.start) for h, r in blocks), default=0)
    return torch.empty(4, most * keys, device=device)
