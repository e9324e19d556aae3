"""Teacher batches: examples padded together, and the teacher's forward over them with the taps open."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...errors import TeacherError
from ...models.families.t5 import shift_right
from ...models.padding import pad_examples
from ...signals.fidelity import SiteSample
from ...signals.sites import Site, tapped
from ..examples.source import ExampleSource
from ..teacher import Teacher


@dataclass(frozen=True, slots=True)
class TeacherBatch:
    """One batch and the teacher's answers; valid maps `input` and `target` to boolean [B, length]."""

    input_ids: Tensor
    labels: Tensor
    valid: dict[str, Tensor]
    tokens: dict[str, Tensor]
    """`input` and `target`: ids [B, length] that encoder and decoder were given"""
    sites: dict[str, dict[str, Tensor]]
    logits: Tensor

    def sample(self, site: Site) -> SiteSample:
        """What was captured of one site, for calibration and fidelity."""
        return SiteSample(self.sites[str(site)], self.valid, self.tokens)

    def valid_logits(self) -> tuple[Tensor, Tensor]:
        """Logits [positions, vocabulary] and labels [positions] of the valid target positions, example by example."""
        return self.logits[self.valid["target"]], self.labels[self.valid["target"]]


def run_teacher(
    teacher: Teacher, examples: Sequence[tuple[np.ndarray, np.ndarray]], sites: Sequence[Site]
) -> TeacherBatch:
    """One forward in inference mode. Raises TeacherError when logits or captures are not finite (an overflowing dtype)."""
    padded = pad_examples([example[0] for example in examples], [example[1] for example in examples], teacher.pad_id)
    inputs, labels = padded[0].to(teacher.device), padded[1].to(teacher.device)
    valid = {axis: mask.to(teacher.device) for axis, mask in padded[2].items()}
    with torch.inference_mode(), tapped(teacher.model, sites) as captured:
        logits = teacher.forward(inputs, valid["input"], labels)
        tokens = {"input": inputs, "target": shift_right(labels, teacher.start_id, teacher.pad_id)}
        found = {name: dict(tensors) for name, tensors in captured.items()}
        batch = TeacherBatch(inputs, labels, valid, tokens, found, logits)
        _require_finite(batch)
    return batch


def batches_of(
    source: ExampleSource, split: str, start: int, stop: int, batch_size: int
) -> Iterator[list[tuple[np.ndarray, np.ndarray]]]:
    """The examples [start, stop) in batches whose boundaries depend on start and batch_size alone."""
    for first in range(start, stop, batch_size):
        yield [source.example(split, index) for index in range(first, min(first + batch_size, stop))]


def _require_finite(batch: TeacherBatch) -> None:
    """A sum is finite only where every element is, and costs a tenth; one that overflows by itself is looked at closely."""
    tensors = [batch.logits, *(tensor for found in batch.sites.values() for tensor in found.values())]
    if bool(torch.stack([tensor.sum(dtype=torch.float32) for tensor in tensors]).isfinite().all()):
        return
    if not all(bool(tensor.isfinite().all()) for tensor in tensors):
        raise TeacherError("the teacher's output is not finite: it overflows in this dtype; dump with --dtype float32")
