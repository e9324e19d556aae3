"""Stage I of TED: train filters so that the frozen model, which goes on from the filtered states, predicts the labels well.

The task loss of a filter is the model's own hard-label cross-entropy with the filtered state in the place of the layer's (ours;
the published filters of an encoder have heads of their own):

    decoder filter:  logits = head(FN_dec(U z + c))
    encoder filter:  logits = head(decoder(labels, FN_enc(U z + c)))        the whole frozen decoder reads it

FN is the stack's own final norm. Everything but the filters is frozen and in evaluation mode. A decoder filter costs a head; an
encoder filter costs a decoder, so each step draws one of them and weighs it by their number, which leaves the mean as it is.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any

import torch
from torch import Tensor, nn

from ...models.families import Family, family_of
from ...models.optimizers import build_optimizer, learning_rate_at, set_learning_rate
from ..fidelity import MeanOf
from ..logits.head_loss import head_loss_sums
from ..logits.targets import label_target
from ..matching.target_statistics import Target, TargetStatistics
from ..sites import Site
from ..taps import tapped
from .filter import NORM, Filter, principal_filter

LEARNING_RATE, WARM_UP, LARGEST_NORM = 2e-3, 0.1, 1.0
"""The rate after warm-up, the share of the steps that warm up, and the largest gradient norm."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """The examples of a batch as a model gets them."""

    given: Mapping[str, Tensor]
    """The ids that the stacks are given, int64 [B, length] by token axis."""
    valid: Mapping[str, Tensor]
    """Which positions are not padding, boolean [B, length] by token axis."""
    labels: Tensor
    """The labels of the valid target positions, int64 [positions]."""


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """Keep a model in evaluation mode and its parameters without gradients inside the block."""
    training, wanted = model.training, [(one, one.requires_grad) for one in model.parameters()]
    model.eval().requires_grad_(False)
    try:
        yield
    finally:
        model.train(training)
        for parameter, before in wanted:
            parameter.requires_grad_(before)


def first_filters(model: Any, sites: Sequence[Site], batches: Iterable[Tokens], width: int) -> list[Filter]:
    """Return filters of the principal directions of each site's states over some batches."""
    family, device = family_of(model), next(model.parameters()).device
    found = {site: _statistics(site, int(model.config.d_model), device) for site in sites}
    with torch.no_grad(), frozen(model):
        for tokens in batches:
            for site, states in _states(model, sites, tokens).items():
                found[site].add(states[tokens.valid[family.stack(site.stack).axis]])
    return [principal_filter(site, found[site], width) for site in sites]


def trained_filters(
    model: Any,
    filters: Sequence[Filter],
    batches: Sequence[Tokens],
    steps: int,
    seed: int,
    done: Any = None,
) -> list[Filter]:
    """Return the filters after `steps` steps over the batches, in their order and again from the first; then gauged.

    The same arguments give the same filters on a CPU. `done` is called after each step.
    """
    if not steps:
        return [one.gauged() for one in filters]
    tensors = [{name: nn.Parameter(part.clone()) for name, part in one.tensors().items()} for one in filters]
    named = [(f"{place}.{name}", part) for place, own in enumerate(tensors) for name, part in own.items()]
    optimizer = build_optimizer("adamw", named, LEARNING_RATE, weight_decay=0.0)
    training = [Filter(site=one.site, **own) for one, own in zip(filters, tensors, strict=True)]
    chance = torch.Generator().manual_seed(seed)
    with frozen(model):
        for step, tokens in enumerate(islice(cycle(batches), steps), start=1):
            rate = learning_rate_at(step, steps, LEARNING_RATE, round(WARM_UP * steps), "linear")
            set_learning_rate(optimizer, rate, step)
            optimizer.zero_grad(set_to_none=True)
            stage_one_loss(model, training, tokens, chance).backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_([part for _, part in named], LARGEST_NORM)
            optimizer.step()
            if done is not None:
                done()
    plain = [{name: part.detach() for name, part in own.items()} for own in tensors]
    return [Filter(site=one.site, **own).gauged() for one, own in zip(filters, plain, strict=True)]


def stage_one_loss(model: Any, filters: Sequence[Filter], tokens: Tokens, chance: torch.Generator | None) -> Tensor:
    """Return the mean over filters of their task losses, in nats per target token.

    With `chance`, one filter of each stack whose states another stack reads is drawn, and stands for all of that stack.
    """
    family = family_of(model)
    with torch.no_grad():
        states = _states(model, [one.site for one in filters], tokens)
    total = torch.zeros((), device=tokens.labels.device)
    for stack in family.stacks:
        own = [one for one in filters if one.site.stack == stack.name]
        drawn, weight = own, 1.0
        if chance is not None and len(own) > 1 and stack.name != family.label_stack.name:
            drawn, weight = [own[int(torch.randint(len(own), (), generator=chance))]], float(len(own))
        for one in drawn:
            total = total + weight * _loss(model, family, one, states[one.site], tokens)
    return total / (len(filters) * len(tokens.labels))


@torch.no_grad()
def filter_losses(model: Any, filters: Sequence[Filter], batches: Iterable[Tokens]) -> list[MeanOf]:
    """Return the cross-entropy in nats, over target tokens, of the model that goes on from each filter's states."""
    family, found = family_of(model), [MeanOf() for _ in filters]
    with frozen(model):
        for tokens in batches:
            states = _states(model, [one.site for one in filters], tokens)
            for one, mean in zip(filters, found, strict=True):
                mean.add(float(_loss(model, family, one, states[one.site], tokens)), len(tokens.labels))
    return found


def _states(model: Any, sites: Sequence[Site], tokens: Tokens) -> dict[Site, Tensor]:
    """Return the states of sites, [B, length, d] each."""
    with tapped(model, sites) as taps:
        family_of(model).run(model, tokens.given, tokens.valid)
        return {site: taps[str(site)]["hidden"] for site in sites}


def _loss(model: Any, family: Family, one: Filter, states: Tensor, tokens: Tokens) -> Tensor:
    """Return the summed cross-entropy of the model that goes on from a filter's states."""
    went_on = family.finish(model, one.site.stack, one.state(one.of(states)), tokens.given, tokens.valid)
    weight, scale = family.head(model)
    positions = went_on[tokens.valid[family.label_axis]]
    return head_loss_sums(positions, weight, scale, [label_target(tokens.labels)])[0]


def _statistics(site: Site, width: int, device: torch.device) -> TargetStatistics:
    return TargetStatistics(Target(str(site), "hidden", NORM, directions=True), width, device)
