"""What fidelity is measured on and with: samples of a site, and means and histograms that can be added up.

The measures themselves are in `relations/fidelity.py`, `hidden_states.py` and `logits/fidelity.py`.
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
    """The tensors of one site for a few examples, with the tokens of both axes."""

    tensors: Tensors
    """By name (`query`, `key`, `value` or `hidden`): [B, length, inner]."""
    valid: Tensors
    """By token axis: boolean [B, length], false for padding."""
    tokens: Tensors
    """By token axis: the ids that the encoder or the decoder was given, [B, length]."""
    below: Tensors = field(default_factory=dict)
    """The decoded tensors of the site that this one is predicted from, by name as in `tensors`; empty for a code by itself."""

    def _parts(self) -> tuple[Tensors, ...]:
        return self.tensors, self.valid, self.tokens, self.below

    def examples(self) -> Iterator["SiteSample"]:
        """Yield samples of one example each."""
        for index in range(next(iter(self.tensors.values())).shape[0]):
            yield SiteSample(
                *({name: tensor[index : index + 1] for name, tensor in part.items()} for part in self._parts())
            )


@dataclass(slots=True)
class MeanOf:
    """A mean, kept as sum and count so that the means of parts can be added up."""

    total: float = 0.0
    count: int = 0

    def add(self, total: float, count: int) -> None:
        """Add a sum over `count` values."""
        self.total += total
        self.count += count

    @property
    def mean(self) -> float:
        """The mean; 0 if nothing was added."""
        return self.total / self.count if self.count else 0.0

    def merge(self, other: "MeanOf") -> None:
        """Add another mean to this one."""
        self.add(other.total, other.count)

    def described(self) -> dict[str, Any]:
        """Return the members of a document: `total` and `count`."""
        return {"total": self.total, "count": self.count}


BINS_PER_OCTAVE = 4
"""The number of bins of a spread per factor of two, which makes quantiles right to 9 %."""

_LOWEST_BIN = -32 * BINS_PER_OCTAVE


@dataclass(slots=True)
class SpreadOf(MeanOf):
    """A mean with a histogram of the values, so that the quantiles of parts can be added up as well."""

    bins: dict[int, int] = field(default_factory=dict)
    """Bin b counts the values from 2^(b/4) to 2^((b+1)/4). The lowest bin also counts all smaller values."""

    def add_values(self, values: Tensor) -> None:
        """Add values of any shape."""
        self.add(float(values.sum(dtype=torch.float64)), values.numel())
        bins = (values.double().clamp_min(1e-30).log2() * BINS_PER_OCTAVE).floor().clamp_min(_LOWEST_BIN).long()
        numbers, counts = torch.unique(bins, return_counts=True)
        for number, count in zip(numbers.tolist(), counts.tolist(), strict=True):
            self.bins[number] = self.bins.get(number, 0) + count

    def merge(self, other: MeanOf) -> None:
        """Add another mean or spread to this one; a plain mean adds nothing to the bins."""
        self.add(other.total, other.count)
        for number, count in other.bins.items() if isinstance(other, SpreadOf) else ():
            self.bins[number] = self.bins.get(number, 0) + count

    def described(self) -> dict[str, Any]:
        """Return the members of a document: `total`, `count`, `first_bin` and `bins`.

        The counts of the bins from `first_bin` on are one string, because a marker has room for that.
        """
        first, last = min(self.bins, default=0), max(self.bins, default=-1)
        counts = " ".join(str(self.bins.get(number, 0)) for number in range(first, last + 1))
        return {"total": self.total, "count": self.count, "first_bin": first, "bins": counts}

    def quantile(self, share: float) -> float:
        """Return the value below which this share of all values is, to within a bin; 0 without values."""
        wanted, passed = math.ceil(share * self.count), 0
        for number in sorted(self.bins):
            passed += self.bins[number]
            if passed >= wanted:
                return math.exp2((number + 0.5) / BINS_PER_OCTAVE)
        return 0.0


def merged(one: MeanOf | None, other: MeanOf) -> MeanOf:
    """Return `one` with `other` added to it, or a new mean that equals `other` if `one` is None."""
    total = type(other)() if one is None else one
    total.merge(other)
    return total


def spread_from(described: Mapping[str, Any]) -> SpreadOf:
    """Rebuild a spread from what `described` wrote; without bins if a plain mean wrote it."""
    counts = str(described.get("bins", "")).split()
    bins = {int(described["first_bin"]) + place: int(count) for place, count in enumerate(counts)}
    return SpreadOf(described["total"], described["count"], {number: count for number, count in bins.items() if count})


def head_sample(samples: Sequence[SiteSample], examples: int) -> list[SiteSample]:
    """Return the first few examples of a list of samples, each as a sample of its own."""
    taken = [one for sample in samples for one in sample.examples()]
    return taken[:examples]
