"""Hard-label cross-entropy of what students lie between, the teacher and random weights, on the examples held out from training.

By transformers' own forward and loss, and not by that of the trainings, of which it is a check.
"""

from pathlib import Path

import torch

from ...cache import Cache
from ...devices import choose_device
from ...evaluation.records import read_record, write_record
from ...pretrained import load_pretrained
from ...student_train.loader import BatchSource, Columns, in_order

RECORD = "held-out.json"


def measure_hard_labels(model: str, cache: Cache, judged: Path, device: str, batch_size: int) -> None:
    """Leave the cross-entropy of a folder or hub name, nats per target token in float32, beside its evaluation; kept where it is
    there. Raises CheckpointError for a model that cannot be loaded."""
    if read_record(judged / RECORD) is None:
        entropy = hard_label_loss(load_pretrained(model, torch.float32)[0], cache, choose_device(device), batch_size)
        write_record(judged / RECORD, {"cross_entropy": entropy})


def measured_hard_labels(judged: Path) -> float | None:
    """What was left there."""
    found = read_record(judged / RECORD)
    return found["cross_entropy"] if found else None


@torch.no_grad()
def hard_label_loss(model: torch.nn.Module, cache: Cache, device: torch.device, batch_size: int) -> float:
    """Mean over the target tokens of a cache's validation examples."""
    model = model.to(device).eval()
    source = BatchSource(cache.validation, Columns((), None), cache.plan.document["teacher"]["pad_id"])
    total, count = 0.0, 0
    for batch in in_order(source, batch_size):
        here = batch.to(device)
        found = model(input_ids=here.input_ids, attention_mask=here.valid["input"].long(), labels=here.labels)
        tokens = int(here.valid["target"].sum())
        total, count = total + float(found.loss) * tokens, count + tokens
    return total / count
