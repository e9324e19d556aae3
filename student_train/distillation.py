"""Student and objective in one module: its forward runs the student with taps open and returns the loss terms.

What gets wrapped (by accelerate, by DDP) is this, not the student, so that every loss is built inside the wrapped forward.
Terms come back as sums; `counts` says beforehand, from the batch alone, by what to divide. Summing both over micro-batches
and processes before dividing makes the loss independent of how a batch is split.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..models.families.t5 import head_scale, shift_right
from ..signals.codes.site_codec import SiteCodec
from ..signals.logits.head_loss import head_loss_sums
from ..signals.logits.targets import label_target, sparse_target
from ..signals.relations.relations import Relation, relation_kl_sum, relation_rows
from ..signals.sites import Site, tapped
from .objective import Objective
from .reading.batch import Batch
from .reading.teacher_signals import TeacherSignals


@dataclass(frozen=True, slots=True)
class Part:
    """One summand of a term: a relation of a site, or the whole of `logits` or `labels`."""

    term: str
    relation: Relation | None

    @property
    def name(self) -> str:
        """`encoder_self.query`, or the term's own name."""
        return f"{self.term}.{self.relation.kind}" if self.relation else self.term


class Distillation(nn.Module):
    """forward(batch, teacher) -> sums of every part of the objective, in nats."""

    def __init__(
        self,
        student: Any,
        objective: Objective,
        codecs: Mapping[str, SiteCodec],
        heads: int,
        start_id: int,
        pad_id: int,
    ) -> None:
        super().__init__()
        self.student = student
        self.objective, self.heads = objective, heads
        self.codecs = dict(codecs)
        self._start_id, self._pad_id = start_id, pad_id
        self._sites = {term: student_site(student, codec.site.name) for term, codec in codecs.items()}
        self.parts = tuple(self._parts())

    def _parts(self) -> Iterator[Part]:
        for term in self.objective.weights:
            if term in self._sites:
                yield from (Part(term, relation) for relation in self.objective.relations(term, self._sites[term]))
            else:
                yield Part(term, None)

    def counts(self, batch: Batch) -> dict[str, int]:
        """By part: how many KL divergences or positions `forward` sums for this batch."""
        positions = int(batch.valid["target"].sum())
        return {
            p.name: relation_rows(p.relation, batch.valid, self.heads) if p.relation else positions for p in self.parts
        }

    def total(self, sums: Mapping[str, Tensor], counts: Mapping[str, float]) -> Tensor:
        """The weighted loss: per term the mean over its parts of sum / count."""
        return torch.stack([sums[part.name] * (self.share(part) / counts[part.name]) for part in self.parts]).sum()

    def share(self, part: Part) -> float:
        """The part's factor in the loss: its term's weight, divided among the term's parts."""
        return self.objective.weights[part.term] / sum(other.term == part.term for other in self.parts)

    def term_means(self, sums: Mapping[str, float], counts: Mapping[str, float]) -> dict[str, float]:
        """Unweighted mean of every term, in nats."""
        means = {}
        for term in self.objective.weights:
            parts = [part.name for part in self.parts if part.term == term]
            means[term] = sum(sums[name] / counts[name] for name in parts) / len(parts)
        return means

    def forward(self, batch: Batch, teacher: TeacherSignals) -> dict[str, Tensor]:
        """Sums in nats by part name; float32 whatever the autocast."""
        with tapped(self.student, list(self._sites.values())) as captured:
            hidden = self._run_student(batch)
        with torch.autocast(batch.input_ids.device.type, enabled=False):
            sums = self._relation_sums(batch, teacher, captured)
        if self.objective.needs_head:
            sums |= self._logit_sums(batch, teacher, hidden[batch.valid["target"]])
        return sums

    def _run_student(self, batch: Batch) -> Tensor:
        """The decoder's last hidden states [B, m, d]. The head is left to the loss, which never needs all logits at once."""
        mask = batch.valid["input"].long()
        decoder_ids = shift_right(batch.labels, self._start_id, self._pad_id)
        encoded = self.student.encoder(input_ids=batch.input_ids, attention_mask=mask)
        decoded = self.student.decoder(
            input_ids=decoder_ids,
            encoder_hidden_states=encoded.last_hidden_state,
            encoder_attention_mask=mask,
            use_cache=False,
        )
        hidden: Tensor = decoded.last_hidden_state
        return hidden

    def _relation_sums(
        self, batch: Batch, teacher: TeacherSignals, captured: Mapping[str, dict[str, Tensor]]
    ) -> dict[str, Tensor]:
        sums = {}
        for term, codec in self.codecs.items():
            ours, theirs = captured[str(self._sites[term])], teacher.factors[str(codec.site)]
            for relation in self.objective.relations(term, codec.site):
                alpha = codec.alpha[relation.kind]
                kl = relation_kl_sum(relation, theirs, ours, batch.valid, self.heads, alpha)
                sums[f"{term}.{relation.kind}"] = kl
        return sums

    def _logit_sums(self, batch: Batch, teacher: TeacherSignals, hidden: Tensor) -> dict[str, Tensor]:
        """Of the decoder's last hidden states at the valid target positions."""
        targets = {}
        if "logits" in self.objective.weights:
            assert teacher.logits is not None
            temperature = self.objective.temperature
            targets["logits"] = sparse_target(teacher.logits, temperature)
        if "labels" in self.objective.weights:
            targets["labels"] = label_target(batch.labels[batch.valid["target"]])
        scale, weight = head_scale(self.student), self.student.lm_head.weight
        found = head_loss_sums(hidden, weight, scale, list(targets.values()))
        return dict(zip(targets, found.unbind(), strict=True))


def student_site(student: Any, name: str) -> Site:
    """The student's own site for a site name: its last layer."""
    config = student.config
    layers = config.num_layers if name.startswith("encoder") else config.num_decoder_layers
    return Site(name, layers - 1)
