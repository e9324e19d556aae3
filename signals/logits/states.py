"""Next-token distributions from states: the teacher's own head, applied to the decoded output of its last block.

With the state h of a target position, the weight w and the epsilon e of the final norm, the head's scale s and its matrix W,

    y = s w h / sqrt(mean(h^2) + e)          the teacher's final RMSNorm (arXiv 1910.07467, equation 4) and its scale
    log p = log_softmax(W y / T)

These are the teacher's own weights, so the only error is that of the cached states. All ids and all temperatures T are there, and
nothing is drawn. Nothing of size positions x vocabulary is kept: whoever needs p forms it for some rows at a time.
"""

from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from ...models.families import Facts, Family
from ..kinds.hidden import HiddenStates
from ..sites import Site


def state_site(family: Family, facts: Facts) -> Site:
    """Return the site whose states the head reads: the output of the last block of the stack with the labels."""
    stack = family.label_stack.name
    return Site(f"{stack}.{HiddenStates.name}", family.depths(facts)[stack] - 1)


@dataclass(frozen=True, slots=True)
class StateDistributions:
    """The distributions of some positions, in the form that they are computed from."""

    rows: Tensor
    """y above, float32 [positions, d_model]."""
    weight: Tensor
    """W above, float32 [vocab_rows, d_model]."""

    def log_p(self, part: slice, temperature: float = 1.0) -> Tensor:
        """Return log p of some positions, [positions in the part, vocab_rows], in nats; the tensor is the caller's own."""
        logits = self.rows[part] @ self.weight.T
        return (logits if temperature == 1.0 else logits.div_(temperature)).log_softmax(-1)


@dataclass(frozen=True, kw_only=True, slots=True)
class StateHead:
    """What follows the last block of a teacher: its final norm, its scale and its head."""

    norm: Tensor
    """w above, float32 [d_model]."""
    epsilon: float
    scale: float
    weight: Tensor
    """W above, float32 [vocab_rows, d_model]."""

    def distributions(self, states: Tensor) -> StateDistributions:
        """Return the distributions of states h, [positions, d_model], on their device."""
        normed = states * torch.rsqrt(states.square().mean(-1, keepdim=True) + self.epsilon)
        # y = s w h / sqrt(mean(h^2) + e)
        return StateDistributions(normed * (self.norm * self.scale), self.weight)

    def to(self, device: torch.device | str) -> Self:
        """Return the head with its tensors on a device."""
        return replace(self, norm=self.norm.to(device), weight=self.weight.to(device))
