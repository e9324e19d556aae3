"""Measure the hard-label cross-entropy of the teacher and of random weights on the cache's validation examples.

These two bound the students. We use transformers' own forward pass, which checks the one that training uses.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn.functional import cross_entropy

from ....cache import Cache
from ....evaluation.checkpoint import load_checkpoint
from ....evaluation.records import read_as, write_record
from ....models.families import family_of
from ....runtime.devices import choose_device
from ....storage.documents.values import Number
from ....student_train.reading.loader import BatchSource, Columns, in_order

RECORD = "validation.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class HardLabelRecord:
    """What that file holds."""

    cross_entropy: Number
    cache: str
    """The digest of the plan whose validation examples were measured."""


def measure_hard_labels(model: str, cache: Cache, evaluation: Path, device: str, batch_size: int) -> None:
    """Write a model's cross-entropy, in nats per target token in float32, into the folder of its evaluation.

    A record of the same examples is kept. Raises CheckpointError if the model, a folder or hub name, cannot be loaded.
    """
    examples, record = cache.plan.digest, read_as(evaluation / RECORD, HardLabelRecord)
    if record is None or record.cache != examples:
        entropy = hard_label_loss(load_checkpoint(model).model, cache, choose_device(device), batch_size)
        write_record(evaluation / RECORD, {"cross_entropy": entropy, "cache": examples})


def measured_hard_labels(evaluation: Path) -> float | None:
    """Return the cross-entropy in the folder of an evaluation; None if it was not measured."""
    record = read_as(evaluation / RECORD, HardLabelRecord)
    return record.cross_entropy if record else None


@torch.no_grad()
def hard_label_loss(model: torch.nn.Module, cache: Cache, device: torch.device, batch_size: int) -> float:
    """Return the mean cross-entropy over the target tokens of a cache's validation examples."""
    family, model = family_of(model), model.to(device).eval()
    total, count = 0.0, 0
    for batch in in_order(BatchSource(cache.validation, Columns(family), cache.special_ids.pad), batch_size):
        here = batch.to(device)
        logits = family.logits(model, family.given(here.ids, cache.special_ids), here.valid)
        loss, tokens = (
            cross_entropy(logits.flatten(0, -2), here.labels.flatten()),
            int(here.valid[here.label_axis].sum()),
        )
        total, count = total + float(loss) * tokens, count + tokens
    return total / count
