"""Turn the logits of a shard into columns and back: the integers of `signals`, in the layouts that `storage` packs best.

Both directions are here, because the dump, an opened cache and the training loader must agree on them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, NoReturn

import numpy as np
import torch

from ..errors import damaged
from ..signals.choices import FROM_HIDDEN
from ..signals.logits.code import LogitIntegers
from ..storage.columns.columns import Column
from ..storage.columns.lists import by_place, from_places, from_set_gaps, set_gaps, starts_of
from ..storage.contents import Expected
from ..storage.documents.plan import PlannedLogits
from ..storage.folder import PublishedFolder

Integers = np.ndarray[Any, np.dtype[Any]]

POSITION, ENTRY = "position", "entry"
_HEADS = {"logits.head.sizes": POSITION, "logits.head.codes": ENTRY, "logits.head.levels": ENTRY}
_DRAWS = {"logits.draw.sizes": POSITION, "logits.draw.gaps": ENTRY, "logits.tail_entropies": POSITION}
LOGIT_COLUMNS = {"top-k": _HEADS, "sampled": _DRAWS, "hybrid": _HEADS | _DRAWS, FROM_HIDDEN: dict[str, str]()}
"""The columns of the next-token distributions by kind, each with a value per label position or per entry of a list. Those from
states have none."""
TAIL_LEVELS = "logits.tail_levels"
"""The column [temperatures, positions] of distributions that have temperatures other than 1."""


@dataclass(frozen=True, slots=True)
class StoredLogits:
    """The integers of a shard's target positions in memory, with the fields of `LogitIntegers` and lists end to end."""

    head_sizes: Integers
    head_codes: Integers
    head_levels: Integers
    draw_sizes: Integers
    draw_ranks: Integers
    tail_entropies: Integers
    tail_levels: Integers
    head_starts: Integers
    """Where each head begins, int64 [positions + 1]."""
    draw_starts: Integers
    """Where each position's draws begin, int64 [positions + 1]."""

    def positions(self, start: int, stop: int) -> LogitIntegers:
        """Return target positions start to stop of the shard, int32 on the CPU."""
        return LogitIntegers(*(torch.from_numpy(part.astype(np.int32)) for part in self.integers(start, stop)))

    def integers(self, start: int, stop: int) -> tuple[Integers, ...]:
        """Return target positions start to stop in their stored types, in the order of the fields of `LogitIntegers`."""
        head = slice(int(self.head_starts[start]), int(self.head_starts[stop]))
        draw = slice(int(self.draw_starts[start]), int(self.draw_starts[stop]))
        return (
            self.head_sizes[start:stop],
            self.head_codes[head],
            self.head_levels[head],
            self.draw_sizes[start:stop],
            self.draw_ranks[draw],
            self.tail_entropies[start:stop],
            self.tail_levels[:, start:stop],
        )


def logit_columns(kind: str, stored: LogitIntegers, label_axis: str) -> dict[str, Column]:
    """Return the columns of a shard's positions by name."""
    integers = {field.name: getattr(stored, field.name).cpu().numpy() for field in fields(stored)}
    heads, draws = integers["head_sizes"], integers["draw_sizes"]
    make: dict[str, Callable[[], Integers]] = {
        "logits.head.sizes": lambda: heads,
        "logits.head.codes": lambda: by_place(integers["head_codes"], heads),
        "logits.head.levels": lambda: by_place(integers["head_levels"], heads),
        "logits.draw.sizes": lambda: draws,
        "logits.draw.gaps": lambda: set_gaps(integers["draw_ranks"], draws),
        "logits.tail_entropies": lambda: integers["tail_entropies"],
    }
    columns = {name: Column(values=make[name](), axis=axis) for name, axis in _axes(kind, label_axis).items()}
    tempered = {TAIL_LEVELS: Column(values=integers["tail_levels"], axis=label_axis)}
    return columns | (tempered if len(integers["tail_levels"]) else {})


def expected_logit_columns(
    folder: PublishedFolder, signal: PlannedLogits, label_axis: str, tokens: Mapping[str, int]
) -> Expected:
    """Return axis and shape of the columns that a shard must have.

    We take the number of entries from the columns themselves; `read_logits` compares it with the sizes of the lists.
    """
    expected = Expected()
    for name, axis in _axes(signal.kind, label_axis).items():
        entries = list(folder.columns.get(name, {"shape": [0]})["shape"])[:1]
        expected[name] = (axis, [tokens[axis]] if axis == label_axis else entries)
    if signal.temperatures:
        expected[TAIL_LEVELS] = (label_axis, [len(signal.temperatures), tokens[label_axis]])
    return expected


def _axes(kind: str, label_axis: str) -> dict[str, str]:
    return {name: label_axis if each == POSITION else each for name, each in LOGIT_COLUMNS[kind].items()}


def read_logits(folder: PublishedFolder, kind: str, ids: int, positions: int, tempered: bool = False) -> StoredLogits:
    """Return the logits of a published shard whose ranks are below `ids`; with `tempered`, for all temperatures.

    `positions` is the number of label positions of the shard. Raises CacheDamagedError if its files are not the published
    ones, or hold lists that no distribution can have.
    """
    column = {name: folder.column(name) for name in LOGIT_COLUMNS[kind]}
    nothing = np.zeros(positions, np.int32)
    heads = column.get("logits.head.sizes", nothing)
    draws = column.get("logits.draw.sizes", nothing)
    codes, levels, gaps = (
        column.get(f"logits.{name}", nothing[:0]) for name in ("head.codes", "head.levels", "draw.gaps")
    )
    _check_sizes(folder, heads, len(codes), len(levels))
    _check_sizes(folder, draws, len(gaps))
    stored = StoredLogits(
        head_sizes=heads,
        head_codes=from_places(codes, heads),
        head_levels=from_places(levels, heads),
        draw_sizes=draws,
        draw_ranks=from_set_gaps(gaps, draws),
        tail_entropies=column.get("logits.tail_entropies", nothing),
        tail_levels=folder.column(TAIL_LEVELS) if tempered else nothing[None, :][:0],
        head_starts=starts_of(heads),
        draw_starts=starts_of(draws),
    )
    _check_ranks(folder, _head_ranks(stored), ids)
    _check_ranks(folder, stored.draw_ranks, ids)
    return stored


def _head_ranks(stored: StoredLogits) -> Integers:
    """Return the ranks of all heads' entries, end to end, int64; for damaged integers they may be any numbers.

    We use numpy, because loaders call this in threads, and torch would start a team of OpenMP threads in each.
    """
    codes = stored.head_codes.astype(np.int64)
    first = stored.head_levels != 0
    first[stored.head_starts[:-1][stored.head_sizes > 0]] = True
    group = np.maximum.accumulate(np.where(first, np.arange(len(codes)), 0))
    total = codes.cumsum()
    ranks: Integers = total - (total - codes)[group]
    return ranks


def _check_sizes(folder: PublishedFolder, sizes: Integers, *entries: int) -> None:
    total = int(sizes.sum(dtype=np.int64))
    if (sizes.size and int(sizes.min()) < 0) or any(total != count for count in entries):
        _damaged(folder, f"the sizes of its lists should add up to its {entries[0]:,} entries, found {total:,}")


def _check_ranks(folder: PublishedFolder, ranks: Integers, ids: int) -> None:
    if ranks.size and not (int(ranks.min()) >= 0 and int(ranks.max()) < ids):
        _damaged(
            folder,
            f"the ranks of its ids should be between 0 and {ids - 1:,}, found {ranks.min():,} to {ranks.max():,}",
        )


def _damaged(folder: PublishedFolder, what: str) -> NoReturn:
    raise damaged(folder.path, f"in its logits, {what}")
