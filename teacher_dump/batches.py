"""Teacher batches: examples padded together, and the teacher's forward over them with the taps open."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..errors import TeacherError
from ..signals.fidelity import SiteSample
from ..signals.sites import Site, tapped
from .examples import ExampleSource
from .teacher import Teacher

IGNORED = -100


@dataclass(frozen=True, slots=True)
class TeacherBatch:
    """One batch and the teacher's answers; valid maps `input` and `target` to boolean [B, length]."""

    input_ids: Tensor
    labels: Tensor
    valid: dict[str, Tensor]
    sites: dict[str, dict[str, Tensor]]
    logits: Tensor

    def sample(self, site: Site) -> SiteSample:
        """Q, K, V of one site, for calibration and fidelity."""
        return SiteSample(self.sites[str(site)], self.valid)

    def valid_logits(self) -> tuple[Tensor, Tensor]:
        """Logits [positions, vocabulary] and labels [positions] of the valid target positions, example by example."""
        return self.logits[self.valid["target"]], self.labels[self.valid["target"]]


def pad_examples(
    examples: Sequence[tuple[np.ndarray, np.ndarray]], pad_id: int, device: torch.device
) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """input_ids [B, n], labels [B, m] (-100 pads) and the valid masks, on the device."""
    inputs = _pad([example[0] for example in examples], pad_id, device)
    labels = _pad([example[1] for example in examples], IGNORED, device)
    lengths = torch.tensor([len(example[0]) for example in examples], device=device)
    input_valid = torch.arange(inputs.shape[1], device=device)[None, :] < lengths[:, None]
    return inputs, labels, {"input": input_valid, "target": labels != IGNORED}


def _pad(rows: Sequence[np.ndarray], value: int, device: torch.device) -> Tensor:
    padded = np.full((len(rows), max(len(row) for row in rows)), value, dtype=np.int64)
    for place, row in enumerate(rows):
        padded[place, : len(row)] = row
    return torch.from_numpy(padded).to(device)


def run_teacher(
    teacher: Teacher, examples: Sequence[tuple[np.ndarray, np.ndarray]], sites: Sequence[Site]
) -> TeacherBatch:
    """One forward in inference mode. Raises TeacherError when logits or factors are not finite (an overflowing dtype)."""
    inputs, labels, valid = pad_examples(examples, teacher.pad_id, teacher.device)
    with torch.inference_mode(), tapped(teacher.model, sites) as captured:
        logits = teacher.forward(inputs, valid["input"], labels)
        batch = TeacherBatch(inputs, labels, valid, {name: dict(found) for name, found in captured.items()}, logits)
        _require_finite(batch)
    return batch


def batches_of(
    source: ExampleSource, split: str, start: int, stop: int, batch_size: int
) -> Iterator[list[tuple[np.ndarray, np.ndarray]]]:
    """The examples [start, stop) in batches whose boundaries depend on start and batch_size alone."""
    for first in range(start, stop, batch_size):
        yield [source.example(split, index) for index in range(first, min(first + batch_size, stop))]


def _require_finite(batch: TeacherBatch) -> None:
    tensors = [batch.logits, *(tensor for found in batch.sites.values() for tensor in found.values())]
    if not bool(torch.stack([tensor.isfinite().all() for tensor in tensors]).all()):
        raise TeacherError("the teacher's output is not finite: it overflows in this dtype; dump with --dtype float32")
