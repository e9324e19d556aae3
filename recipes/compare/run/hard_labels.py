"""Hard-label cross-entropy of what students lie between, the teacher and random weights, on the examples held out from training.

By transformers' own forward and loss, and not by that of the trainings, of which it is a check.
"""

from pathlib import Path

import torch

from ....cache.cache import Cache
from ....evaluation.checkpoint import load_checkpoint
from ....evaluation.records import read_record, write_record
from ....models.families.t5 import shift_right
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
    teacher, model = cache.plan.teacher, model.to(device).eval()
    total, count = 0.0, 0
    for batch in in_order(BatchSource(cache.validation, Columns((), None), teacher.pad_id), batch_size):
        here = batch.to(device)
        found = model(
            input_ids=here.input_ids,
            attention_mask=here.valid["input"].long(),
            decoder_input_ids=shift_right(here.labels, teacher.start_id, teacher.pad_id),
            labels=here.labels,
        )
        tokens = int(here.valid["target"].sum())
        total, count = total + float(found.loss) * tokens, count + tokens
    return total / count
