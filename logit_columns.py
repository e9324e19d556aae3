"""The logits of a shard as columns and back: what `signals` encodes, in the layouts that `storage` packs best.

Both directions stand here, because the dump, an opened cache and the training loader must agree on them.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch

from .signals.logits import LogitIntegers
from .storage.columns import Column
from .storage.folder import PublishedFolder
from .storage.lists import by_place, from_places, from_set_gaps, set_gaps, starts_of

HEAD_COLUMNS = ("logits.head.sizes", "logits.head.codes", "logits.head.levels")
DRAW_COLUMNS = ("logits.draw.sizes", "logits.draw.gaps", "logits.tail_entropies")
COLUMNS = {"top-k": HEAD_COLUMNS, "sampled": DRAW_COLUMNS, "hybrid": HEAD_COLUMNS + DRAW_COLUMNS}
"""Columns by kind."""

Integers = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, slots=True)
class StoredLogits:
    """The integers of a shard's target positions in memory; fields as in `LogitIntegers`, lists end to end."""

    head_sizes: Integers
    head_codes: Integers
    head_levels: Integers
    draw_sizes: Integers
    draw_ranks: Integers
    tail_entropies: Integers
    head_starts: Integers
    """int64 [positions + 1]: where each head begins"""
    draw_starts: Integers

    def positions(self, start: int, stop: int) -> LogitIntegers:
        """Target positions start to stop of the shard, int32 on the CPU."""
        head = slice(int(self.head_starts[start]), int(self.head_starts[stop]))
        draw = slice(int(self.draw_starts[start]), int(self.draw_starts[stop]))
        parts = (
            self.head_sizes[start:stop],
            self.head_codes[head],
            self.head_levels[head],
            self.draw_sizes[start:stop],
            self.draw_ranks[draw],
            self.tail_entropies[start:stop],
        )
        return LogitIntegers(*(torch.from_numpy(part.astype(np.int32)) for part in parts))


def logit_columns(kind: str, stored: LogitIntegers) -> dict[str, Column]:
    """The columns of a shard's positions by name."""
    found = {field.name: getattr(stored, field.name).cpu().numpy() for field in fields(stored)}
    heads, draws = found["head_sizes"], found["draw_sizes"]
    make: dict[str, Callable[[], tuple[Integers, str]]] = {
        "logits.head.sizes": lambda: (heads, "target"),
        "logits.head.codes": lambda: (by_place(found["head_codes"], heads), "entry"),
        "logits.head.levels": lambda: (by_place(found["head_levels"], heads), "entry"),
        "logits.draw.sizes": lambda: (draws, "target"),
        "logits.draw.gaps": lambda: (set_gaps(found["draw_ranks"], draws), "entry"),
        "logits.tail_entropies": lambda: (found["tail_entropies"], "target"),
    }
    built = {name: make[name]() for name in COLUMNS[kind]}
    return {name: Column(values=values, axis=axis) for name, (values, axis) in built.items()}


def read_logits(folder: PublishedFolder, kind: str) -> StoredLogits:
    """The logits of a published shard. Raises CacheDamagedError when its files are not the published ones."""
    column = {name: folder.column(name) for name in COLUMNS[kind]}
    nothing = np.zeros(folder.document["tokens"]["target"], np.int32)
    heads = column.get("logits.head.sizes", nothing)
    draws = column.get("logits.draw.sizes", nothing)
    none = nothing[:0]
    return StoredLogits(
        head_sizes=heads,
        head_codes=from_places(column.get("logits.head.codes", none), heads),
        head_levels=from_places(column.get("logits.head.levels", none), heads),
        draw_sizes=draws,
        draw_ranks=from_set_gaps(column.get("logits.draw.gaps", none), draws),
        tail_entropies=column.get("logits.tail_entropies", nothing),
        head_starts=starts_of(heads),
        draw_starts=starts_of(draws),
    )
