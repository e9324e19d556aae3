"""The live teacher instead of the cache: exact Q, K and V, and the full KL over the vocabulary, at every step."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from miniend.models.families.t5 import head_scale
from miniend.signals.sites import Site, tapped
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
            logits = self.teacher.forward(batch.input_ids, batch.valid["input"], batch.labels)
        factors = {site: {kind: tensor.float() for kind, tensor in found.items()} for site, found in captured.items()}
        return LiveSignals(factors, None, logits[batch.valid["target"]].float().log_softmax(-1))


class LiveDistillation(Distillation):
    """The same losses on whole distributions."""

    def _logit_sums(self, batch: Batch, teacher: LiveSignals, hidden: Tensor) -> dict[str, Tensor]:
        logits = nn.functional.linear(hidden * head_scale(self.student), self.student.lm_head.weight).float()
        log_q = logits.log_softmax(-1)
        labels = batch.labels[batch.valid["target"]]
        sums = {
            "logits": nn.functional.kl_div(log_q, teacher.log_p, reduction="sum", log_target=True),
            "labels": nn.functional.nll_loss(log_q, labels, reduction="sum"),
        }
        return {term: value for term, value in sums.items() if term in self.objective.weights}


def beside(setup: Setup, teacher: Teacher) -> Setup:
    """Return the same student, taught by the live teacher."""
    sides = {}
    for name in ("distillation", "evaluation"):
        own: Distillation = getattr(setup, name)
        sides[name] = LiveDistillation(own.student, own.objective, own.codecs, own.heads, own._start_id, own._pad_id)
    sites = [codec.site for codec in setup.distillation.codecs.values()]
    return replace(setup, **sides, feed=replace(setup.feed, decoder=LiveDecoder(teacher, sites)))
