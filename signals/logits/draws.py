"""Draw from the tails of many distributions at once: systematic sampling by inverse CDF, one uniform number per position.

Independent draws (random-sampling distillation) waste entries, because several of them can hit the same id by chance. Here the
draws of a position are spaced evenly on its cumulative distribution, at one random offset (Madow 1949, "On the theory of
systematic sampling"). The expected weight of every id is still exactly its probability, and the count of an id differs from
its expectation by less than one. Ids come out sorted, which is how they are stored.
"""

import torch
from torch import Tensor

_ROWS = 256
"""The number of positions at a time, which keeps the gathered tensors small."""
_BLOCK = 64
"""The number of ranks in a block of the search."""


def draw_tail(p: Tensor, mass: Tensor, draws: int, uniforms: Tensor) -> tuple[Tensor, Tensor]:
    """Return the drawn ranks end to end, ascending within a position, int64 [total], and their number, int64 [positions].

    `p` [positions, ranks] holds the tail's probabilities and 0 elsewhere, `mass` [positions] the tail's mass m; `uniforms` are
    float64 [positions]. Let a = draws * m. For a >= 1 a position gets round(a) draws, each of which stands for m / round(a).
    For a < 1 it gets one draw with probability a, which stands for 1 / draws. In both cases the expected weight of an id is
    its p, as far as `mass` is the sum of `p`.
    """
    asked = draws * mass.double()
    sizes = torch.where(asked >= 1.0, asked.round(), (uniforms < asked).double()).long()
    sizes = torch.where(p.sum(-1) > 0, sizes, 0)
    offset = torch.where(asked >= 1.0, uniforms, uniforms / asked.clamp_min(torch.finfo(torch.float64).tiny))
    ranks = [
        _points(p[rows], offset[rows], sizes[rows])
        for rows in (slice(first, first + _ROWS) for first in range(0, len(p), _ROWS))
    ]
    return torch.cat(ranks) if ranks else sizes[:0], sizes


def _points(p: Tensor, offset: Tensor, sizes: Tensor) -> Tensor:
    """Return the ranks that are hit by `sizes` evenly spaced points on each row's cumulative sum, end to end.

    The search has two levels: blocks of ranks, then the ranks of the blocks that were hit. A cumulative sum over the whole
    vocabulary would cost more than everything else here.
    """
    width = min(_BLOCK, p.shape[1])
    full = p.shape[1] // width * width
    # S_b = sum of p over the ranks of block b; the last block may be shorter
    sums = torch.cat([p[:, :full].unfold(-1, width, width).sum(-1), p[:, full:].sum(-1, keepdim=True)], dim=-1)
    cumulative = sums.cumsum(-1, dtype=torch.float64)
    place = torch.arange(max(1, int(sizes.max())), device=p.device)
    # point_i = (i + offset) / size * (sum of p), i = 0 .. size - 1
    share = (place + offset[:, None]) / sizes.clamp_min(1)[:, None]
    # block = the first b with S_0 + .. + S_b > point_i,  within = (point_i - (S_0 + .. + S_(b-1))) / S_b
    block, within = _hit(cumulative, share * cumulative[:, -1:])
    ranks = block[..., None] * width + torch.arange(width, device=p.device)
    in_block = p.gather(1, ranks.clamp_max(p.shape[1] - 1).flatten(1)).view(ranks.shape)
    local = torch.where(ranks < p.shape[1], in_block, 0.0).cumsum(-1, dtype=torch.float64)
    # rank = the first r in the block whose own cumulative sum exceeds within * S_b
    rank, _ = _hit(local, within[..., None] * local[..., -1:])
    return (block * width + rank[..., 0])[place < sizes[:, None]]


def _hit(cumulative: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """Return the interval of cumulative sums [..., n] that each point [..., m] falls into, and how far into it, in [0, 1).

    An interval of width zero is never returned.
    """
    total = cumulative[..., -1:]
    points = points.clamp_max(total * (1 - 1e-12))
    interval = torch.searchsorted(cumulative, points, right=True).clamp_max(cumulative.shape[-1] - 1)
    before = torch.cat([torch.zeros_like(total), cumulative[..., :-1]], dim=-1).gather(-1, interval)
    width = (cumulative.gather(-1, interval) - before).clamp_min(torch.finfo(torch.float64).tiny)
    return interval, ((points - before) / width).clamp(0.0, 1 - 1e-12)
