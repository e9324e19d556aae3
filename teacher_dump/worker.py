"""Which of several processes this one is, as torchrun says it in the environment; alone without torchrun.

Ranks exchange nothing: they meet in the cache directory alone, where claims and exclusive publishing keep them apart.
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
    """Rank on this machine, by which a CUDA device is chosen; None without torchrun."""

    @classmethod
    def from_environment(cls) -> Self:
        """From RANK, WORLD_SIZE and LOCAL_RANK. Raises ConfigurationError where they contradict each other."""
        found = {name: os.environ.get(name) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK")}
        try:
            numbers = {name: int(text) for name, text in found.items() if text is not None}
            worker = cls(numbers.get("RANK", 0), numbers.get("WORLD_SIZE", 1), numbers.get("LOCAL_RANK"))
        except ValueError:
            raise ConfigurationError(f"expected whole numbers in the environment, as torchrun sets: {found}") from None
        if not 0 <= worker.rank < worker.size:
            raise ConfigurationError(f"expected RANK below WORLD_SIZE in the environment, found {found}")
        return worker

    @property
    def leads(self) -> bool:
        """Whether this is the rank that speaks."""
        return self.rank == 0

    def device(self, text: str) -> torch.device:
        """The device of this rank: `auto` and `cuda` are cuda:LOCAL_RANK under torchrun; anything else is taken as it is."""
        device = choose_device(text)
        if device.type != "cuda" or self.local_rank is None or ":" in text:
            return device
        own = choose_device(f"cuda:{self.local_rank}")
        torch.cuda.set_device(own)  # lest a context be opened on the first device by every rank
        return own

    def in_order(self, shards: Sequence[ShardRange]) -> list[ShardRange]:
        """All of `shards`, from this rank's own part on and round to the part of the rank before it."""
        first = self.rank * len(shards) // self.size
        return [*shards[first:], *shards[:first]]
