"""Fit a relation code: first the means of the tokens, then the basis of what they leave, in the metric of relation KL.

To make a calibration reproducible, everything is float64 on the CPU, and each basis vector's largest entry is positive.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from .code import RelationCode

MOST_TOKENS = 4096
"""The largest number of tokens with a mean of their own; the most frequent tokens get one first."""
FEWEST = 2
"""How often a token must have been seen to get a mean of its own."""
SHRINKAGE = 2.0
"""A token seen n times gets n / (n + SHRINKAGE) of its observed mean, because a mean of few rows is mostly noise."""


class Moments:
    """The running count, sum, second moment and sums by token of rows [tokens, width], float64 on the CPU."""

    def __init__(self, width: int) -> None:
        self.count = 0
        self.total = torch.zeros(width, dtype=torch.float64)
        self.square = torch.zeros(width, width, dtype=torch.float64)
        self.by_token: dict[int, tuple[int, Tensor]] = {}

    def add(self, rows: Tensor, tokens: Tensor) -> None:
        """Add rows [n, width] of token ids [n], without padding."""
        rows, tokens = rows.to("cpu", torch.float64), tokens.cpu()
        self.count += rows.shape[0]
        self.total += rows.sum(0)
        self.square += rows.T @ rows
        ids, places, counts = torch.unique(tokens, return_inverse=True, return_counts=True)
        sums = torch.zeros(len(ids), rows.shape[1], dtype=torch.float64).index_add_(0, places, rows)
        for token, count, total in zip(ids.tolist(), counts.tolist(), sums, strict=True):
            seen, before = self.by_token.get(token, (0, 0.0))
            self.by_token[token] = (seen + count, before + total)

    def mean(self) -> Tensor:
        """Return the mean row, float64 [width]."""
        return self.total / self.count

    def covariance(self) -> Tensor:
        """Return the covariance of the rows, float64 [width, width]."""
        mean = self.mean()
        return self.square / self.count - torch.outer(mean, mean)

    def token_means(self) -> tuple[Tensor, Tensor]:
        """Return ids, int32 [known], ascending, and their shrunken means relative to `mean`, float64 [known, width]."""
        often = sorted((-count, token) for token, (count, _) in self.by_token.items() if count >= FEWEST)
        ids = sorted(token for _, token in often[:MOST_TOKENS])
        if not ids:
            return torch.zeros(0, dtype=torch.int32), torch.zeros(0, len(self.total), dtype=torch.float64)
        counts, sums = self._of(ids)
        return torch.tensor(ids, dtype=torch.int32), (sums - counts * self.mean()) / (counts + SHRINKAGE)

    def residual(self, ids: Tensor, means: Tensor) -> Tensor:
        """Return the second moment [width, width] of rows minus `mean` minus the `means` [known, width] of their tokens."""
        if not len(ids):
            return self.covariance()
        counts, sums = self._of(ids.tolist())
        # With n rows x, of which token t has n_t with centred sum s_t, and means m_t:
        # 1/n sum (x - mean - m_t)(x - mean - m_t)^T  =  covariance + 1/n sum_t (n_t m_t m_t^T - s_t m_t^T - m_t s_t^T)
        cross = (sums - counts * self.mean()).T @ means
        return self.covariance() + ((counts * means).T @ means - cross - cross.T) / self.count

    def _of(self, ids: list[int]) -> tuple[Tensor, Tensor]:
        """Return the counts [known, 1] and sums [known, width] of some tokens."""
        counts = torch.tensor([self.by_token[token][0] for token in ids], dtype=torch.float64)
        return counts[:, None], torch.stack([self.by_token[token][1] for token in ids])


def fit_code(moments: Moments, blocks: tuple[str, ...], metric: Mapping[str, Tensor]) -> RelationCode:
    """Return the code of the rows in `moments`, complete (rank = width) and with step 1.

    `metric` has for each block positive definite matrices, float64 [groups, d, d], along its diagonal (`sensitivity.py`).
    Directions that these rows do not use come last. If few rows were seen, other rows may need them; else `trim_rank` drops
    them.
    """
    pairs = [_roots(metric[block].to("cpu", torch.float64)) for block in blocks]
    root, inverse = (_block_diagonal(torch.cat(sides)) for sides in zip(*pairs, strict=True))
    ids, means = moments.token_means()
    remaining = root @ moments.residual(ids, means) @ root
    values, vectors = torch.linalg.eigh((remaining + remaining.T) / 2)
    vectors = vectors.flip(1).T
    largest = vectors.gather(1, vectors.abs().argmax(1, keepdim=True))
    basis = vectors * largest.sign()
    analysis = root @ basis.T
    return RelationCode(
        blocks=blocks,
        step=1.0,
        mean=moments.mean().float(),
        synthesis=(basis @ inverse).float().contiguous(),
        analysis=analysis.float().contiguous(),
        spread=values.flip(0).clamp_min(0.0).sqrt().float(),
        token_ids=ids,
        token_means=(means @ analysis).float().contiguous(),
    )


def _block_diagonal(matrices: Tensor) -> Tensor:
    """Return the matrix [groups * d, groups * d] with these matrices [groups, d, d] along its diagonal."""
    groups, d, _ = matrices.shape
    whole = matrices.new_zeros(groups, d, groups, d)
    places = torch.arange(groups)
    whole[places, :, places] = matrices
    return whole.reshape(groups * d, groups * d)


def _roots(matrices: Tensor) -> tuple[Tensor, Tensor]:
    """Return the symmetric square roots of positive definite matrices [groups, d, d], and the inverses of the roots."""
    values, vectors = torch.linalg.eigh(matrices)
    scale = values.clamp_min(torch.finfo(torch.float64).tiny).sqrt()[:, None, :]
    return vectors * scale @ vectors.mT, vectors / scale @ vectors.mT
