"""Teacher batches: examples padded together, and the teacher's forward over them with the taps open."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...errors import TeacherError
from ...models.padding import by_axis, pad_examples
from ...signals.fidelity import SiteSample
from ...signals.sites import Site
from ...signals.taps import tapped
from ..examples.source import ExampleSource
from ..teacher import Teacher


@dataclass(frozen=True, slots=True)
class TeacherBatch:
    """One batch and the teacher's answers, by token axis or by site."""

    labels: Tensor
    """int64 [B, length], -100 pads"""
    labelled: Tensor
    """boolean [B, length]: where there is a label"""
    valid: dict[str, Tensor]
    """By axis: boolean [B, length]"""
    tokens: dict[str, Tensor]
    """By axis: ids [B, length] that the stack was given"""
    sites: dict[str, dict[str, Tensor]]
    logits: Tensor

    def sample(self, site: Site) -> SiteSample:
        """What was captured of one site, for calibration and fidelity."""
        return SiteSample(self.sites[str(site)], self.valid, self.tokens)

    def valid_logits(self) -> tuple[Tensor, Tensor]:
        """Logits [positions, vocabulary] and labels [positions] of the valid target positions, example by example."""
        return self.logits[self.labelled], self.labels[self.labelled]


def run_teacher(
    teacher: Teacher, examples: Sequence[tuple[np.ndarray, np.ndarray]], sites: Sequence[Site]
) -> TeacherBatch:
    """One forward in inference mode. Raises TeacherError when logits or captures are not finite (an overflowing dtype)."""
    family = teacher.family
    padded, masks = pad_examples(family, by_axis(family, examples), teacher.pad_id)
    ids = {axis: part.to(teacher.device) for axis, part in padded.items()}
    valid = {axis: mask.to(teacher.device) for axis, mask in masks.items()}
    with torch.inference_mode(), tapped(teacher.model, sites) as captured:
        logits = teacher.forward(ids, valid)
        found = {name: dict(tensors) for name, tensors in captured.items()}
        labelled = valid[family.label_axis]
        batch = TeacherBatch(ids[family.label_axis], labelled, valid, teacher.given(ids), found, logits)
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
