"""What an error of hidden states means: the teacher goes on from the decoded states, and we compare its predictions, in nats."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...signals.codes.site_codec import SiteCodec
from ...signals.fidelity import MeanOf, SiteSample
from ...signals.hidden_states import CONTINUED
from ...signals.taps import replaced
from ..examples.source import ExampleSource
from ..shards.batches import batches_of, run_teacher
from ..teacher import Teacher

POSITIONS = 256
"""The number of positions whose probabilities are in memory at once."""


@dataclass(frozen=True, slots=True)
class Continuation:
    """The teacher, and the examples on which it goes on from decoded states."""

    teacher: Teacher
    source: ExampleSource
    batch_size: int
    start: int
    """The first of the report examples."""
    stop: int

    def measured(self, codec: SiteCodec, samples: Sequence[SiteSample]) -> dict[str, MeanOf]:
        """Return the KL in nats of the next-token distributions, from the teacher's own to those after the decoded states.

        `samples` are the site's, batch by batch. The teacher's own weights do everything after the site: for the last layer of
        the encoder its final norm and the whole decoder, for the last layer of the decoder its final norm and the head. An
        encoder without decoder does not predict tokens, so nothing is measured.
        """
        if not self.teacher.family.predicts:
            return {}
        kl = MeanOf()
        batches = batches_of(self.source, "train", self.start, self.stop, self.batch_size)
        for examples, sample in zip(batches, samples, strict=True):
            exact = run_teacher(self.teacher, examples, ()).valid_logits()[0]
            with replaced(self.teacher.model, codec.site, codec.decoded(codec.encode(sample), sample)):
                continued = run_teacher(self.teacher, examples, ()).valid_logits()[0]
            kl.add(*_kl_sum(exact, continued))
        return {CONTINUED: kl}


def _kl_sum(exact: Tensor, continued: Tensor) -> tuple[float, int]:
    """Return the sum over positions of KL(exact | continued), in nats, and their number, from logits [positions, V]."""
    total = 0.0
    for start in range(0, len(exact), POSITIONS):
        p, q = (logits[start : start + POSITIONS].float().log_softmax(-1) for logits in (exact, continued))
        total += float((p.exp() * (p - q)).sum(dtype=torch.float64))
    return total, len(exact)
