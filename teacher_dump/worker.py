"""The rank of this process among several, from torchrun's environment; without torchrun it is the only one.

Ranks do not send each other anything. They meet only in the cache directory, where claims and exclusive publishing keep them
apart.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch

from ..runtime.devices import choose_device
from ..runtime.launcher import require_possible_ranks
from ..storage.layout import ShardRange


@dataclass(frozen=True, slots=True)
class Worker:
    """One process of a dump."""

    rank: int = 0
    size: int = 1
    local_rank: int | None = None
    """The rank on this machine, which chooses the CUDA device; None without torchrun."""

    @classmethod
    def from_environment(cls) -> Self:
        """Return the worker of RANK, WORLD_SIZE and LOCAL_RANK. Raises ConfigurationError if they cannot be right."""
        require_possible_ranks()
        numbers = {name: int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK") if name in os.environ}
        return cls(numbers.get("RANK", 0), numbers.get("WORLD_SIZE", 1), numbers.get("LOCAL_RANK"))

    @property
    def leads(self) -> bool:
        """Whether this is the rank that prints lines."""
        return self.rank == 0

    def device(self, text: str) -> torch.device:
        """Return the device of this rank: under torchrun `auto` and `cuda` are cuda:LOCAL_RANK; other names stay as they are."""
        device = choose_device(text)
        if device.type != "cuda" or self.local_rank is None or ":" in text:
            return device
        own = choose_device(f"cuda:{self.local_rank}")
        torch.cuda.set_device(own)  # else every rank would open a context on the first device
        return own

    def in_order(self, shards: Sequence[ShardRange]) -> list[ShardRange]:
        """Return all of `shards`, from this rank's own part on and round to the part of the rank before it."""
        first = self.rank * len(shards) // self.size
        return [*shards[first:], *shards[:first]]
