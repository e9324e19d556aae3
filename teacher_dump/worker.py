"""The rank of this process among several, from torchrun's environment; without torchrun it is the only one.

Ranks do not send each other anything. They meet only in the cache directory, where claims and exclusive publishing keep them
apart.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch

from ..errors import ConfigurationError
from ..runtime.devices import choose_device
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
        variables = {name: os.environ.get(name) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK")}
        try:
            numbers = {name: int(text) for name, text in variables.items() if text is not None}
            worker = cls(numbers.get("RANK", 0), numbers.get("WORLD_SIZE", 1), numbers.get("LOCAL_RANK"))
        except ValueError:
            raise ConfigurationError(
                f"expected whole numbers in the environment, as torchrun sets them, found {variables}"
            ) from None
        if not 0 <= worker.rank < worker.size:
            raise ConfigurationError(f"expected RANK below WORLD_SIZE in the environment, found {variables}")
        return worker

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
