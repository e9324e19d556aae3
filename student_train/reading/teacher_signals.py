"""What a batch holds of its teacher, decoded once for all students that learn from it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ...cache.cache import Cache
from ...models.families.t5 import shift_right
from ...signals.codes.site_codec import SiteCodec
from ...signals.logits.code import LogitCode, SparseDistributions
from ..objective import Objective
from .batch import Batch
from .loader import Columns

Needs = tuple[Objective, Mapping[str, SiteCodec]]
"""An objective and the codec of each of its relation terms."""


@dataclass(frozen=True, slots=True)
class TeacherSignals:
    """The teacher's side of every loss for one batch, on the batch's device, without gradients."""

    factors: Mapping[str, Mapping[str, Tensor]]
    """By site (`encoder.self@11`) and kind (`query`, `key`, `value`): float32 [B, length, inner]"""
    logits: SparseDistributions | None
    """of the valid target positions, at the objectives' temperature"""


class TeacherDecoder:
    """Turns a batch's integers into what any of several objectives needs."""

    def __init__(
        self,
        codecs: Mapping[str, SiteCodec],
        logit_code: LogitCode | None,
        temperature: float,
        start_id: int,
        pad_id: int,
    ) -> None:
        self._codecs, self._logit_code, self._temperature = dict(codecs), logit_code, temperature
        self._start_id, self._pad_id = start_id, pad_id

    @torch.no_grad()
    def decode(self, batch: Batch) -> TeacherSignals:
        """The signals of a batch that lies on the decoder's device."""
        tokens = {"input": batch.input_ids, "target": shift_right(batch.labels, self._start_id, self._pad_id)}
        factors = {site: codec.decode(batch.coefficients, tokens) for site, codec in self._codecs.items()}
        if self._logit_code is None:
            return TeacherSignals(factors, None)
        assert batch.logits is not None
        return TeacherSignals(factors, self._logit_code.decode(batch.logits, self._temperature))


def build_decoder(cache: Cache, needs: Iterable[Needs], device: torch.device) -> TeacherDecoder:
    """The decoder of everything that some objective needs, with its tables on a device."""
    needs = list(needs)
    codecs = {str(codec.site): codec.to(device) for _, used in needs for codec in used.values()}
    tempered = [objective.temperature for objective, _ in needs if "logits" in objective.weights]
    logit_code = cache.logit_code.to(device) if cache.logit_code and tempered else None
    teacher = cache.plan.teacher
    return TeacherDecoder(codecs, logit_code, next(iter(tempered), 1.0), teacher.start_id, teacher.pad_id)


def needed_columns(cache: Cache, needs: Iterable[Needs]) -> Columns:
    """The columns that the decoder for these objectives asks for."""
    needs = list(needs)
    coefficients = {
        column: place.axis for _, used in needs for codec in used.values() for column, place in codec.columns().items()
    }
    tempered = [objective.temperature != 1 for objective, _ in needs if "logits" in objective.weights]
    code = cache.logit_code if tempered else None
    return Columns(tuple(coefficients.items()), (code.kind, len(code.order), any(tempered)) if code else None)
