"""Teacher batches: examples padded together, and the teacher's forward pass over them, whose signals we capture."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...errors import TeacherError
from ...models.padding import by_axis, pad_examples
from ...signals.codes.site_codec import NOTHING
from ...signals.fidelity import SiteSample
from ...signals.sites import Site
from ...signals.taps import tapped
from ..examples.source import ExampleSource
from ..teacher import Teacher


@dataclass(frozen=True, slots=True)
class TeacherBatch:
    """One batch and the teacher's answers, by token axis or by site."""

    labels: Tensor
    """The labels, int64 [B, length], padded with -100."""
    labelled: Tensor
    """Which positions have a label, boolean [B, length]."""
    valid: dict[str, Tensor]
    """Which positions are not padding, by axis, boolean [B, length]."""
    tokens: dict[str, Tensor]
    """The ids [B, length] that the stacks were given, by axis."""
    sites: dict[str, dict[str, Tensor]]
    """The captured tensors by site and name."""
    logits: Tensor | None
    """The logits, [B, length, vocabulary]; None for an encoder without decoder."""

    def sample(self, site: Site, below: Mapping[str, Tensor] = NOTHING) -> SiteSample:
        """Return what was captured of one site, for calibration and fidelity.

        `below` has the decoded tensors of the site that it is predicted from.
        """
        return SiteSample(self.sites[str(site)], self.valid, self.tokens, below)

    def valid_logits(self) -> tuple[Tensor, Tensor]:
        """Return logits [positions, vocabulary] and labels [positions] of the valid target positions, example by example."""
        assert self.logits is not None
        return self.logits[self.labelled], self.labels[self.labelled]


def run_teacher(teacher: Teacher, examples: Sequence[tuple[np.ndarray, ...]], sites: Sequence[Site]) -> TeacherBatch:
    """Run one forward pass in inference mode. Raises TeacherError if logits or captures overflow in the teacher's dtype."""
    family = teacher.family
    padded, masks = pad_examples(family, by_axis(family, examples), teacher.pad_id)
    ids = {axis: part.to(teacher.device) for axis, part in padded.items()}
    valid = {axis: mask.to(teacher.device) for axis, mask in masks.items()}
    with torch.inference_mode(), tapped(teacher.model, sites) as captured:
        logits = teacher.forward(ids, valid)
        by_site = {name: dict(tensors) for name, tensors in captured.items()}
        labelled = valid[family.label_axis]
        batch = TeacherBatch(ids[family.label_axis], labelled, valid, teacher.given(ids), by_site, logits)
        _require_finite(batch)
    return batch


def batches_of(
    source: ExampleSource, split: str, start: int, stop: int, batch_size: int
) -> Iterator[list[tuple[np.ndarray, ...]]]:
    """Yield the examples [start, stop) in batches whose boundaries depend only on start and batch_size."""
    for first in range(start, stop, batch_size):
        yield [source.example(split, index) for index in range(first, min(first + batch_size, stop))]


def _require_finite(batch: TeacherBatch) -> None:
    """Raise TeacherError unless all elements of logits and captures are finite.

    A finite sum proves that every element is finite, and costs a tenth. A sum that is not finite may have overflowed by itself,
    so we then look at each element.
    """
    tensors = [tensor for captured in batch.sites.values() for tensor in captured.values()]
    tensors += [] if batch.logits is None else [batch.logits]
    if not tensors:
        return
    if bool(torch.stack([tensor.sum(dtype=torch.float32) for tensor in tensors]).isfinite().all()):
        return
    if not all(bool(tensor.isfinite().all()) for tensor in tensors):
        dtype = tensors[-1].dtype
        advice = "use another checkpoint" if dtype == torch.float32 else "dump with --dtype float32"
        raise TeacherError(
            f"the teacher's output is not finite: it overflows in {str(dtype).removeprefix('torch.')}; {advice}"
        )
