"""The examples of a cache as losses of a model: hard-label cross-entropy, by transformers' own forward pass."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from ...cache import Cache, Split
from ...models.families import family_of
from ...models.pruning.importance import Losses
from ...student_train.reading.batch import Batch
from ...student_train.reading.loader import BatchSource, Columns, in_order

TOGETHER = 8
"""The examples of a batch. The gradient's scores add |dL/dmask| over batches, so this decides them."""


def batches_of(cache: Cache, split: Split, device: torch.device, most: int | None = None) -> list[Batch]:
    """Return the first `most` examples of a split, or all of them, in batches on a device."""
    source = BatchSource(split, Columns(cache.family), cache.special_ids.pad)
    count = source.layout.total if most is None else min(most, source.layout.total)
    batches = islice(in_order(source, TOGETHER), -(-count // TOGETHER))
    return [_first(batch, count - TOGETHER * place).to(device) for place, batch in enumerate(batches)]


def losses_of(model: Any, cache: Cache, batches: Sequence[Batch]) -> Losses:
    """Return a function that yields the model's summed cross-entropy, in nats, and the number of target tokens, by batch."""
    family, special = family_of(model), cache.special_ids

    def losses() -> Iterator[tuple[Tensor, int]]:
        for batch in batches:
            logits = family.logits(model, family.given(batch.ids, special), batch.valid)
            loss = cross_entropy(logits.flatten(0, -2), batch.labels.flatten(), reduction="sum")
            yield loss, int(batch.valid[batch.label_axis].sum())

    return losses


def _first(batch: Batch, count: int) -> Batch:
    """Return the first examples of a batch without distributions and coefficients."""
    return replace(
        batch,
        ids={axis: ids[:count] for axis, ids in batch.ids.items()},
        valid={axis: valid[:count] for axis, valid in batch.valid.items()},
        examples=batch.examples[:count],
    )
