"""How important heads and neurons are: measured by removing them, or by the gradient of the loss with respect to their masks.

MiniDisc (arXiv 2205.14570, section 3) takes I = sum over batches of |dL/dmask| for all of them, each layer's scores over their L2
norm. That is the sensitivity to scaling a head and not the cost of losing it. Self-attention heads have few orders to decide, so
we measure them by default: remove the head whose removal raises the loss least, and repeat.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...runtime.progress import progress_bar, waiting
from .groups import Group, groups_of
from .masks import masked
from .widths import MEASURED

_TINY = 1e-17
"""The published guard against a layer whose scores are all zero."""
_STEPS = 8
"""A round of an elimination removes an eighth of the heads, rounded down, and at least one: 1 of 12, but 4 of 32."""

Losses = Callable[[], Iterator[tuple[Tensor, int]]]
"""Yields by batch the model's summed loss in nats, a scalar, and the number of target tokens that it sums over."""


@dataclass(frozen=True, slots=True)
class Removal:
    """A round of the elimination: what was removed, and the mean loss of the model without it and all that went before."""

    units: tuple[int, ...]
    loss: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Ranking:
    """The order of one group, and where it comes from."""

    order: tuple[int, ...]
    """All heads or neurons, the most important first."""
    scores: tuple[float, ...] | None = None
    """By head or neuron, the score of the gradient; None for measured ones."""
    removals: tuple[Removal, ...] | None = None
    """The rounds of the elimination; None for orders by the gradient."""


def mean_loss(losses: Losses) -> float:
    """Return the mean loss over all target tokens, in nats."""
    total, count = 0.0, 0
    with torch.no_grad():
        for loss, tokens in losses():
            total, count = total + float(loss), count + tokens
    return total / count


def rankings(model: Any, losses: Losses, importance: str = MEASURED) -> dict[str, Ranking]:
    """Return the ranking of every group of a model, by name.

    `losses` runs the model, which must be in eval mode and float32. With MEASURED, the heads of self-attentions are ranked by
    removal, everything else by the gradient; with GRADIENT, all are ranked by it.
    """
    groups = groups_of(model)
    measured = [group for group in groups.values() if importance == MEASURED and group.is_self_attention]
    found = by_gradient(model, [group for group in groups.values() if group not in measured], losses)
    trials = sum(left for group in measured for left, _ in _rounds(group.count))
    with progress_bar("removing heads", trials, "trial", shown=trials > 0, kept=False) as bar:
        found |= {group.name: by_removal(model, group, losses, bar.update) for group in measured}
    return {name: found[name] for name in groups}


def by_gradient(model: Any, groups: Sequence[Group], losses: Losses) -> dict[str, Ranking]:
    """Rank groups by |dL/dmask|, with one backward per batch. A group of several layers gets the sum of their scores."""
    parameters = dict(model.named_parameters())
    masks = {
        reader: torch.ones(group.count, device=parameters[reader].device, dtype=parameters[reader].dtype)
        for group in groups
        for reader in group.readers
    }
    leaves = [mask.requires_grad_() for mask in masks.values()]
    sums = {reader: torch.zeros_like(mask) for reader, mask in masks.items()}
    with masked(model, masks), waiting("gradients of the loss by heads and neurons"):
        for loss, _ in losses() if groups else ():
            # I = sum over batches of |dL/dmask|, with the summed loss, so that a batch of fewer tokens counts less
            for reader, gradient in zip(sums, torch.autograd.grad(loss, leaves), strict=True):
                sums[reader] += gradient.abs()
    return {group.name: _ranked([sums[reader] for reader in group.readers]) for group in groups}


def _ranked(layers: Sequence[Tensor]) -> Ranking:
    """Return the ranking by the sum over layers of I / (|I|_2 + 1e-17)."""
    scores = torch.stack([layer / (layer.norm() + _TINY) for layer in layers]).sum(0).tolist()
    return Ranking(order=tuple(sorted(range(len(scores)), key=lambda unit: -scores[unit])), scores=tuple(scores))


def by_removal(model: Any, group: Group, losses: Losses, tried: Callable[[], object] = lambda: None) -> Ranking:
    """Rank a group by greedy elimination: each round tries to remove each unit that is left, from all layers of the group.

    The last unit is never removed. `tried` is called after each trial.
    """
    gone: list[int] = []
    removals = []
    for _, removed in _rounds(group.count):
        losses_without: dict[int, float] = {}
        for unit in (unit for unit in range(group.count) if unit not in gone):
            losses_without[unit] = loss_without(model, group, [*gone, unit], losses)
            tried()
        cheapest = sorted(losses_without, key=lambda unit: losses_without[unit])[:removed]
        gone += cheapest
        loss = losses_without[cheapest[0]] if removed == 1 else loss_without(model, group, gone, losses)
        removals.append(Removal(tuple(cheapest), loss))
    last = [unit for unit in range(group.count) if unit not in gone]
    return Ranking(order=(*last, *reversed(gone)), removals=tuple(removals))


def loss_without(model: Any, group: Group, units: Iterable[int], losses: Losses) -> float:
    """Return the mean loss of the model without some units, in all layers of their group."""
    parameters = dict(model.named_parameters())
    mask = torch.ones(group.count, device=parameters[group.readers[0]].device)
    mask[list(units)] = 0
    with masked(model, dict.fromkeys(group.readers, mask)):
        return mean_loss(losses)


def _rounds(count: int) -> list[tuple[int, int]]:
    """Return the rounds of an elimination: how many units are left before it, and how many of them it removes."""
    rounds, left = [], count
    while left > 1:
        rounds.append((left, min(max(1, count // _STEPS), left - 1)))
        left -= rounds[-1][1]
    return rounds
