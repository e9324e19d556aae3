"""The live teacher instead of the cache: exact Q, K and V, and the full KL over the vocabulary, at every step."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from miniend.signals.sites import Site
from miniend.signals.taps import tapped
from miniend.student_train.distillation import Distillation
from miniend.student_train.reading.batch import Batch
from miniend.student_train.reading.teacher_signals import TeacherSignals
from miniend.student_train.run.setup import Setup
from miniend.teacher_dump.teacher import Teacher


@dataclass(frozen=True, slots=True)
class LiveSignals(TeacherSignals):
    """The teacher's answer to a batch."""

    log_p: Tensor
    """float32 [valid target positions, vocabulary]"""


class LiveDecoder:
    """Ask the teacher instead of decoding integers, which are ignored."""

    def __init__(self, teacher: Teacher, sites: Sequence[Site]) -> None:
        self.teacher, self.sites = teacher, list(sites)

    @torch.no_grad()
    def decode(self, batch: Batch) -> LiveSignals:
        with tapped(self.teacher.model, self.sites) as captured:
            logits = self.teacher.forward(batch.ids, batch.valid)
        factors = {
            site: {name: tensor.float() for name, tensor in tensors.items()} for site, tensors in captured.items()
        }
        return LiveSignals(factors, {}, logits[batch.valid[batch.label_axis]].float().log_softmax(-1))


class LiveDistillation(Distillation):
    """The same losses on whole distributions."""

    def _head_sums(self, batch: Batch, teacher: LiveSignals, hidden: Tensor) -> dict[str, Tensor]:
        weight, scale = self.family.head(self.student)
        positions = batch.valid[batch.label_axis]
        log_q = nn.functional.linear(hidden[positions] * scale, weight).float().log_softmax(-1)
        sums = {
            "logits": nn.functional.kl_div(log_q, teacher.log_p, reduction="sum", log_target=True),
            "labels": nn.functional.nll_loss(log_q, batch.labels[positions], reduction="sum"),
        }
        return {name: sums[name] for name, term in self.each_term() if term.trains_head}


def beside(setup: Setup, teacher: Teacher) -> Setup:
    """Return the same student, taught by the live teacher."""
    sides = {}
    for name in ("distillation", "evaluation"):
        own: Distillation = getattr(setup, name)
        sides[name] = LiveDistillation(own.student, dict(own.each_term()), own.weights, own.special)
    sites = {pair.teacher: None for _, term in setup.distillation.each_term() for pair in term.pairs}
    return replace(setup, **sides, feed=replace(setup.feed, decoder=LiveDecoder(teacher, list(sites))))
