"""Hard-label cross-entropy of what students lie between, the teacher and random weights, on the examples held out from training.

By transformers' own forward, and not by that of the trainings, of which it is a check.
"""

from pathlib import Path

import torch
from torch.nn.functional import cross_entropy

from ....cache import Cache
from ....evaluation.checkpoint import load_checkpoint
from ....evaluation.records import read_record, write_record
from ....models.families import family_of
from ....runtime.devices import choose_device
from ....student_train.reading.loader import BatchSource, Columns, in_order

RECORD = "held-out.json"


def measure_hard_labels(model: str, cache: Cache, judged: Path, device: str, batch_size: int) -> None:
    """Leave the cross-entropy of a folder or hub name, nats per target token in float32, beside its evaluation; one of the same
    examples is kept. Raises CheckpointError for a model that cannot be loaded."""
    examples, found = cache.plan.digest, read_record(judged / RECORD)
    if found is None or found["cache"] != examples:
        entropy = hard_label_loss(load_checkpoint(model).model, cache, choose_device(device), batch_size)
        write_record(judged / RECORD, {"cross_entropy": entropy, "cache": examples})


def measured_hard_labels(judged: Path) -> float | None:
    """What was left there."""
    found = read_record(judged / RECORD)
    return found["cross_entropy"] if found else None


@torch.no_grad()
def hard_label_loss(model: torch.nn.Module, cache: Cache, device: torch.device, batch_size: int) -> float:
    """Mean over the target tokens of a cache's validation examples."""
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
