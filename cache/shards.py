"""Published shards, and their columns in memory."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..signals.logits.code import LogitCode
from ..storage.contents import check_values
from ..storage.documents.marker import ShardMarker
from ..storage.folder import PublishedFolder
from ..storage.layout import ShardRange
from .logit_columns import StoredLogits, read_logits


@dataclass(frozen=True, slots=True)
class Shard:
    """One published shard: its place among the examples and its folder."""

    place: ShardRange
    folder: PublishedFolder
    tokens: Mapping[str, int]
    """The number of tokens by axis."""
    labels: int
    """The number of label positions."""
    ids: int
    """The number of ids; every token id is smaller."""

    @property
    def examples(self) -> int:
        """The number of examples."""
        return self.place.stop - self.place.start

    def marker(self) -> ShardMarker:
        """Return the shard's marker. We do not keep it in memory, because a cache may have ten thousand."""
        return self.folder.parsed(ShardMarker)

    def column(self, name: str) -> np.ndarray[Any, np.dtype[Any]]:
        """Return a whole column, [n] or [rows, n]. Raises CacheDamagedError for offsets or ids that no example can have."""
        values = self.folder.column(name)
        check_values(self.folder, name, values, self.ids)
        return values


class LoadedShard:
    """A shard's columns in memory; we read each one when it is first used."""

    def __init__(self, shard: Shard, logit_code: LogitCode | None) -> None:
        self.shard = shard
        self._logit_code = logit_code
        self._columns: dict[str, np.ndarray[Any, np.dtype[Any]]] = {}

    def column(self, name: str) -> np.ndarray[Any, np.dtype[Any]]:
        """Return `Shard.column`, read once."""
        if name not in self._columns:
            self._columns[name] = self.shard.column(name)
        return self._columns[name]

    @cached_property
    def logits(self) -> StoredLogits:
        """The integers of the shard's next-token distributions."""
        assert self._logit_code is not None
        return read_logits(self.shard.folder, self._logit_code.kind, len(self._logit_code.order), self.shard.labels)
