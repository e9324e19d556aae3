"""Encode the logits of a batch as integers, and measure their fidelity for the marker."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from ...signals.fidelity import MeanOf
from ...signals.logits.code import LogitCode, LogitIntegers, SparseDistributions, join_integers
from ...signals.logits.fidelity import coarsened_kl, gradient_agreement, tempered_kl, whole_kl
from ...signals.logits.states import StateHead

_ROWS = 512
"""The number of positions at a time, so that log-probabilities in float32 stay small compared with the teacher's logits."""


@dataclass(slots=True)
class LogitMeasurements:
    """Measurements as means over target positions."""

    loss: MeanOf = field(default_factory=MeanOf)
    """The teacher's own hard-label cross-entropy."""
    fidelity: dict[str, MeanOf] = field(default_factory=dict)
    """The means by kind."""

    def add(self, kind: str, part: MeanOf) -> None:
        """Add a part to the fidelity mean of a kind."""
        self.fidelity.setdefault(kind, MeanOf()).add(part.total, part.count)


class LogitEncoder:
    """An encoder that encodes logits and measures them; without a code (a dump without lists) it measures only.

    With a `head`, we measure the distributions that a reader makes of decoded states. `reference` [vocabulary], the teacher's
    mean probability, is the student's distribution at which we compare gradients.
    """

    def __init__(
        self, code: LogitCode | None, head: StateHead | None, reference: Tensor | None, device: torch.device
    ) -> None:
        self._code = None if code is None else code.to(device)
        self._head = None if head is None else head.to(device)
        self._reference = None if reference is None else reference.to(device)

    def encode(
        self,
        logits: Tensor,
        labels: Tensor,
        uniforms: Tensor,
        measured: Tensor,
        into: LogitMeasurements,
        states: Tensor | None = None,
    ) -> LogitIntegers | None:
        """Return the integers of logits [positions, vocabulary]; None without a code.

        `measured`, boolean [positions], says where we compare gradients. `states` [positions, d_model] are the decoded states
        that the head reads, if there is a head.
        """
        parts = []
        for first in range(0, len(logits), _ROWS):
            rows = slice(first, first + _ROWS)
            log_p = logits[rows].float().log_softmax(-1)
            into.loss.add(-float(log_p.gather(-1, labels[rows, None]).sum()), len(log_p))
            if self._code is not None:
                parts.append(self._code.encode(log_p, uniforms[rows]))
                self._measure(self._code.decode(parts[-1]), log_p, into)
                self._measure_tempered(self._code, parts[-1], log_p, into)
                self._compare_lists(self._code, log_p[measured[rows]], uniforms[rows][measured[rows].cpu()], into)
            if self._head is not None and states is not None:
                whole = self._head.distributions(states[rows]).log_p(slice(None))
                into.add("kl", MeanOf(float(whole_kl(log_p, whole).sum()), len(log_p)))
                self._compare(log_p[measured[rows]], whole[measured[rows]], into)
        return join_integers(parts) if parts else None

    def _measure(self, target: SparseDistributions, log_p: Tensor, into: LogitMeasurements) -> None:
        positions = len(log_p)
        into.add("kl", MeanOf(float(coarsened_kl(log_p, target).sum()), positions))
        into.add("tail_mass", MeanOf(float(target.tail_mass.sum()), positions))
        into.add("entries", MeanOf(float(len(target.head_ids) + len(target.draw_ids)), positions))

    def _measure_tempered(self, code: LogitCode, stored: LogitIntegers, log_p: Tensor, into: LogitMeasurements) -> None:
        for temperature in code.temperatures:
            target = code.decode(stored, temperature)
            kl = coarsened_kl((log_p / temperature).log_softmax(-1), target)
            into.add(tempered_kl(temperature), MeanOf(float(kl.sum()), len(log_p)))

    def _compare_lists(self, code: LogitCode, log_p: Tensor, uniforms: Tensor, into: LogitMeasurements) -> None:
        if len(log_p):
            self._compare(log_p, code.decode(code.encode(log_p, uniforms)), into)

    def _compare(self, log_p: Tensor, target: SparseDistributions | Tensor, into: LogitMeasurements) -> None:
        if self._reference is None or not len(log_p):
            return
        for kind, part in gradient_agreement(log_p, target, self._reference).items():
            into.add(kind, part)
