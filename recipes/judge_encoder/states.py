"""How near the states of one encoder are to another's, token by token and text by text, and a map between their widths.

explained = 1 - sum |s - t|^2 / sum |t - mean t|^2        sums and mean over tokens; 1 at best, 0 for the best constant
cosine    = mean of cos(s, t)
nearest   = share of texts whose nearest other text is the same by s and by t: the greatest cosine of the means of their
            tokens, about the mean of all texts
"""

from collections.abc import Iterable

import torch
from torch import Tensor

RIDGE = 1e-4
"""The share of the mean variance that is added to each direction of a least-squares fit."""
BLOCK = 1024
"""The texts that are compared with all others at once."""


class Nearness:
    """Running sums over texts, in float64."""

    def __init__(self, width: int) -> None:
        self.tokens = 0
        self._error = self._cosine = self._square = 0.0
        self._sum = torch.zeros(width, dtype=torch.float64)
        self._means: tuple[list[Tensor], list[Tensor]] = ([], [])

    def add(self, ours: Tensor, theirs: Tensor) -> None:
        """Count one text: the states [length, width] of both encoders."""
        s, t = ours.double().cpu(), theirs.double().cpu()
        self.tokens += len(t)
        self._error += float((s - t).square().sum())
        self._cosine += float(torch.cosine_similarity(s, t, dim=1).sum())
        self._square += float(t.square().sum())
        self._sum += t.sum(0)
        for means, states in zip(self._means, (s, t), strict=True):
            means.append(states.mean(0))

    @property
    def texts(self) -> int:
        """The number of texts."""
        return len(self._means[0])

    @property
    def explained(self) -> float:
        """The share of the variance that is explained; 1 for states without variance that are the same."""
        # sum |t - mean t|^2 = sum |t|^2 - |sum t|^2 / n
        energy = self._square - float(self._sum.square().sum()) / self.tokens
        return 1.0 - (self._error / energy if energy > 0 else float(self._error > 0))

    @property
    def cosine(self) -> float:
        """The mean cosine of tokens."""
        return self._cosine / self.tokens

    @property
    def cosine_of_texts(self) -> float:
        """The mean cosine of the texts' means."""
        ours, theirs = map(torch.stack, self._means)
        return float(torch.cosine_similarity(ours, theirs, dim=1).mean())

    @property
    def same_nearest(self) -> float:
        """The share of texts with the same nearest other text."""
        ours, theirs = (nearest(torch.stack(means)) for means in self._means)
        return float((ours == theirs).double().mean())


def nearest(means: Tensor) -> Tensor:
    """Return for each text [n, width] the number of the other text with the greatest cosine, about the mean of all, [n]."""
    normed = torch.nn.functional.normalize(means - means.mean(0), dim=1)
    found = []
    for first in range(0, len(normed), BLOCK):
        rows = normed[first : first + BLOCK]
        cosines = rows @ normed.T
        places = torch.arange(len(rows))
        cosines[places, first + places] = -2.0  # itself
        found.append(cosines.argmax(1))
    return torch.cat(found)


def fitted(pairs: Iterable[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Return the map from the states of one encoder to another's by least squares: W [out, width] and b [out], float32.

    `pairs` are the states [length, width] and [length, out] of texts, at least one.
    """
    count, sums = 0, list[Tensor]()
    for ours, theirs in pairs:
        x, y = ours.double().cpu(), theirs.double().cpu()
        new = [x.sum(0), y.sum(0), x.T @ x, x.T @ y]
        sums = [old + one for old, one in zip(sums, new, strict=True)] if sums else new
        count += len(x)
    centre, mean = sums[0] / count, sums[1] / count
    # about the means: sum (x - cx)(x - cx)^T = sum x x^T - n cx cx^T
    products = sums[2] - count * torch.outer(centre, centre)
    crossed = sums[3] - count * torch.outer(centre, mean)
    products += RIDGE * products.diagonal().mean() * torch.eye(len(products), dtype=torch.float64)
    weight = torch.linalg.lstsq(products, crossed).solution.T
    return weight.float(), (mean - weight @ centre).float()
