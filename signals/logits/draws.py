"""Draws from the tails of many distributions at once: systematic sampling by inverse CDF, one uniform number per position.

Independent draws (random-sampling distillation) waste entries: what one draw has covered, another covers again by chance. Here
the draws of a position lie evenly on its cumulative distribution, at one random offset (Madow 1949, "On the theory of
systematic sampling"): the expected weight of every id is still exactly its probability, and the count of an id differs from
its expectation by less than one. Ids come out sorted, which is how they are stored.
"""

import torch
from torch import Tensor

_ROWS = 256
"""Positions at a time, so that what is gathered stays small."""
_BLOCK = 64


def draw_tail(p: Tensor, mass: Tensor, draws: int, uniforms: Tensor) -> tuple[Tensor, Tensor]:
    """Ranks drawn, end to end, ascending within a position, int64 [total], and how many each position has, int64 [positions].

    p [positions, ranks] holds the tail's probabilities and 0 elsewhere, mass [positions] the tail's mass m, uniforms
    float64 [positions]. With a = draws * m a position gets round(a) draws for a >= 1, each standing for m / round(a); below
    that one draw with probability a, standing for 1 / draws. Either way the expected weight of an id is its p (as far as
    `mass` is the sum of `p`).
    """
    asked = draws * mass.double()
    sizes = torch.where(asked >= 1.0, asked.round(), (uniforms < asked).double()).long()
    sizes = torch.where(p.sum(-1) > 0, sizes, 0)
    offset = torch.where(asked >= 1.0, uniforms, uniforms / asked.clamp_min(torch.finfo(torch.float64).tiny))
    found = [
        _points(p[rows], offset[rows], sizes[rows])
        for rows in (slice(first, first + _ROWS) for first in range(0, len(p), _ROWS))
    ]
    return torch.cat(found) if found else sizes[:0], sizes


def _points(p: Tensor, offset: Tensor, sizes: Tensor) -> Tensor:
    """The ranks in which `sizes` evenly spaced points of each row's cumulative sum lie.

    Searched in two levels, blocks of ranks and then the ranks of the blocks that were hit: the cumulative sum of a whole
    vocabulary costs more than all the rest.
    """
    width = min(_BLOCK, p.shape[1])
    full = p.shape[1] // width * width
    sums = torch.cat([p[:, :full].unfold(-1, width, width).sum(-1), p[:, full:].sum(-1, keepdim=True)], dim=-1)
    cumulative = sums.cumsum(-1, dtype=torch.float64)
    place = torch.arange(max(1, int(sizes.max())), device=p.device)
    share = (place + offset[:, None]) / sizes.clamp_min(1)[:, None]
    block, within = _hit(cumulative, share * cumulative[:, -1:])
    ranks = block[..., None] * width + torch.arange(width, device=p.device)
    found = p.gather(1, ranks.clamp_max(p.shape[1] - 1).flatten(1)).view(ranks.shape)
    local = torch.where(ranks < p.shape[1], found, 0.0).cumsum(-1, dtype=torch.float64)
    rank, _ = _hit(local, within[..., None] * local[..., -1:])
    return (block * width + rank[..., 0])[place < sizes[:, None]]


def _hit(cumulative: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """Which interval of cumulative sums [..., n] each point [..., m] falls into, never an empty one, and how far, in [0, 1)."""
    total = cumulative[..., -1:]
    points = points.clamp_max(total * (1 - 1e-12))
    interval = torch.searchsorted(cumulative, points, right=True).clamp_max(cumulative.shape[-1] - 1)
    before = torch.cat([torch.zeros_like(total), cumulative[..., :-1]], dim=-1).gather(-1, interval)
    width = (cumulative.gather(-1, interval) - before).clamp_min(torch.finfo(torch.float64).tiny)
    return interval, ((points - before) / width).clamp(0.0, 1 - 1e-12)
