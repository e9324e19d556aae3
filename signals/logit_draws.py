"""Draws from the tails of many distributions at once: systematic sampling by inverse CDF, one uniform number per position.

Independent draws (random-sampling distillation) waste entries: what one draw has covered, another covers again by chance. Here
the draws of a position lie evenly on its cumulative distribution, at one random offset (Madow 1949, "On the theory of
systematic sampling"): the expected weight of every id is still exactly its probability, and the count of an id differs from
its expectation by less than one. Ids come out sorted, which is how they are stored.
"""

import torch
from torch import Tensor

_ROWS = 256
"""Positions at a time, so that the cumulative sums in float64 stay small."""


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
    """The ranks in which `sizes` evenly spaced points of each row's cumulative sum lie."""
    cumulative = p.cumsum(-1, dtype=torch.float64)
    place = torch.arange(max(1, int(sizes.max())), device=p.device)
    share = (place + offset[:, None]) / sizes.clamp_min(1)[:, None]
    total = cumulative[:, -1:]
    points = (share * total).clamp_max(total * (1 - 1e-12))
    return torch.searchsorted(cumulative, points, right=True)[place < sizes[:, None]]
