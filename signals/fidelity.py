"""How faithful a cached relation is: KL(P_teacher || P_cached) with the loss's own masks, per relation kind.

Measured one example at a time, so that memory stays at R x L x L.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

Tensors = Mapping[str, Tensor]


@dataclass(frozen=True, slots=True)
class SiteSample:
    """The tensors of one site by kind (Q, K, V, or hidden states) for a few examples, [B, length, inner] each, with what lies
    on both token axes, [B, length]."""

    tensors: Tensors
    valid: Tensors
    tokens: Tensors
    """Ids by axis: what the encoder and the decoder were given there."""

    def _parts(self) -> tuple[Tensors, ...]:
        return self.tensors, self.valid, self.tokens

    def examples(self) -> Iterator["SiteSample"]:
        """One example at a time."""
        for index in range(next(iter(self.tensors.values())).shape[0]):
            yield SiteSample(
                *({name: tensor[index : index + 1] for name, tensor in part.items()} for part in self._parts())
            )


@dataclass(slots=True)
class MeanOf:
    """A mean kept as sum and count, so that means of parts add up."""

    total: float = 0.0
    count: int = 0

    def add(self, total: float, count: int) -> None:
        """Add a sum over `count` things."""
        self.total += total
        self.count += count

    @property
    def mean(self) -> float:
        """The mean, 0 of nothing."""
        return self.total / self.count if self.count else 0.0

    def merge(self, other: "MeanOf") -> None:
        """Add everything that another one holds."""
        self.add(other.total, other.count)

    def described(self) -> dict[str, Any]:
        """The members of a document: `total` and `count`."""
        return {"total": self.total, "count": self.count}


BINS_PER_OCTAVE = 4
"""Bins of a spread: a quantile is right to 9 %."""

_LOWEST_BIN = -32 * BINS_PER_OCTAVE


@dataclass(slots=True)
class SpreadOf(MeanOf):
    """A mean with a histogram of what it averages, so that quantiles of parts add up as well."""

    bins: dict[int, int] = field(default_factory=dict)
    """Bin b counts the values from 2^(b/4) to 2^((b+1)/4); the lowest one also all below."""

    def add_values(self, values: Tensor) -> None:
        """Add values of any shape."""
        self.add(float(values.sum(dtype=torch.float64)), values.numel())
        bins = (values.double().clamp_min(1e-30).log2() * BINS_PER_OCTAVE).floor().clamp_min(_LOWEST_BIN).long()
        numbers, counts = torch.unique(bins, return_counts=True)
        for number, count in zip(numbers.tolist(), counts.tolist(), strict=True):
            self.bins[number] = self.bins.get(number, 0) + count

    def merge(self, other: MeanOf) -> None:
        """Add everything that another one holds; a plain mean does not have bins."""
        self.add(other.total, other.count)
        for number, count in other.bins.items() if isinstance(other, SpreadOf) else ():
            self.bins[number] = self.bins.get(number, 0) + count

    def described(self) -> dict[str, Any]:
        """For a document: `total`, `count`, and the bins from `first_bin` on as one string, which a marker has room for."""
        first, last = min(self.bins, default=0), max(self.bins, default=-1)
        counts = " ".join(str(self.bins.get(number, 0)) for number in range(first, last + 1))
        return {"total": self.total, "count": self.count, "first_bin": first, "bins": counts}

    def quantile(self, share: float) -> float:
        """The value below which this share of all values lies, to within a bin; 0 of nothing."""
        wanted, passed = math.ceil(share * self.count), 0
        for number in sorted(self.bins):
            passed += self.bins[number]
            if passed >= wanted:
                return math.exp2((number + 0.5) / BINS_PER_OCTAVE)
        return 0.0


def merged(one: MeanOf | None, other: MeanOf) -> MeanOf:
    """The sum of two means of one type; of None and one, a new one that holds as much."""
    total = type(other)() if one is None else one
    total.merge(other)
    return total


def spread_from(described: Mapping[str, Any]) -> SpreadOf:
    """What `described` wrote; a plain mean has no bins."""
    counts = str(described.get("bins", "")).split()
    bins = {int(described["first_bin"]) + place: int(count) for place, count in enumerate(counts)}
    return SpreadOf(described["total"], described["count"], {number: count for number, count in bins.items() if count})


def head_sample(samples: Sequence[SiteSample], examples: int) -> list[SiteSample]:
    """The first few examples of a list of samples, one per entry."""
    taken = [one for sample in samples for one in sample.examples()]
    return taken[:examples]
