"""A batch: examples padded together, as the integers that the cache holds."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ...signals.logits.code import LogitIntegers


@dataclass(frozen=True, slots=True)
class Batch:
    """Examples padded together; everything on one device."""

    input_ids: Tensor
    """int64 [B, n]"""
    labels: Tensor
    """int64 [B, m], -100 pads"""
    valid: dict[str, Tensor]
    """`input` and `target`: boolean [B, length]"""
    coefficients: dict[str, Tensor]
    """By column: integers [B, length, rank]"""
    logits: LogitIntegers | None
    """of the valid target positions, example by example"""
    examples: tuple[int, ...]
    """The examples' numbers in the cache."""

    @property
    def tokens(self) -> int:
        """Valid input and target tokens."""
        return int(sum(valid.sum() for valid in self.valid.values()))

    def to(self, device: torch.device) -> "Batch":
        """The same batch on a device."""
        return Batch(
            self.input_ids.to(device, non_blocking=True),
            self.labels.to(device, non_blocking=True),
            {axis: valid.to(device, non_blocking=True) for axis, valid in self.valid.items()},
            {name: block.to(device, non_blocking=True) for name, block in self.coefficients.items()},
            None if self.logits is None else self.logits.to(device),
            self.examples,
        )
