"""Optimizers: what they decay, how their rate runs, and that a restored one goes on bit for bit."""

import copy
import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load, save
from torch import nn

from miniend.errors import ConfigurationError, RunMismatchError
from miniend.models.optimizer_settings import OPTIMIZERS
from miniend.models.optimizers import (
    SCHEDULES,
    build_optimizer,
    learning_rate_at,
    load_optimizer_tensors,
    optimizer_tensors,
    set_learning_rate,
)

EACH = pytest.mark.parametrize("name", OPTIMIZERS)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.norm = nn.Parameter(torch.ones(6))
        self.inside = nn.Parameter(torch.randn(5, 6, generator=generator))
        self.frozen = nn.Parameter(torch.randn(4, 4, generator=generator), requires_grad=False)
        self.never = nn.Parameter(torch.randn(3, 3, generator=generator))
        self.outside = nn.Parameter(torch.randn(2, 5, generator=generator))

    def forward(self, rows):
        return torch.tanh(rows * self.norm @ self.inside.T) @ self.outside.T


def steps(net, optimizer, numbers):
    for number in numbers:
        rows = torch.randn(8, 6, generator=torch.Generator().manual_seed(number))
        set_learning_rate(optimizer, learning_rate_at(number, 6, 0.05, 2, "linear"), number)
        net(rows).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)


def build(name, net, weight_decay=0.1):
    return build_optimizer(name, net.named_parameters(), 0.05, weight_decay)


@EACH
def test_a_restored_optimizer_goes_on_bit_for_bit(name):
    """A lost step counter or moment gives a run that is plausible and not the same."""
    unbroken = Net()
    steps(unbroken, build(name, unbroken), range(1, 7))

    first = Net()
    optimizer = build(name, first)
    steps(first, optimizer, range(1, 4))
    stored = load(save(optimizer_tensors(optimizer)))
    second = copy.deepcopy(first)
    restored = build(name, second)
    load_optimizer_tensors(restored, stored)
    steps(second, restored, range(4, 7))

    for (key, expected), found in zip(unbroken.named_parameters(), second.parameters(), strict=True):
        assert torch.equal(expected, found), key
    assert not torch.equal(unbroken.inside, first.inside)


@EACH
def test_a_missing_state_does_change_the_run(name):
    """Shows that the test above can fail."""
    unbroken, broken = Net(), Net()
    steps(unbroken, build(name, unbroken), range(1, 7))
    steps(broken, build(name, broken), range(1, 4))
    steps(broken, build(name, broken), range(4, 7))
    assert not torch.equal(unbroken.inside, broken.inside)


@EACH
def test_saved_state_is_a_copy_both_ways(name):
    """A checkpoint that changes while it is being written is another step's."""
    net = Net()
    optimizer = build(name, net)
    steps(net, optimizer, [1])
    stored = optimizer_tensors(optimizer)
    before = {key: tensor.clone() for key, tensor in stored.items()}
    other = Net()
    restored = build(name, other)
    load_optimizer_tensors(restored, stored)
    steps(net, optimizer, [2])
    steps(other, restored, [2])
    assert all(torch.equal(stored[key], before[key]) for key in before)


@EACH
def test_state_is_named_after_parameters_and_only_the_trained_ones(name):
    """Positions shift when another objective freezes other parameters."""
    net = Net()
    optimizer = build(name, net)
    steps(net, optimizer, [1])
    names = {entry.partition("/")[2] for entry in optimizer_tensors(optimizer)}
    assert names == {"norm", "inside", "outside"}


@EACH
def test_norms_and_frozen_parameters_do_not_decay(name):
    """Decay without a gradient would shrink what the objective never trains."""
    net = Net()
    before = copy.deepcopy(net)
    optimizer = build(name, net, weight_decay=0.5)
    for parameter in (net.norm, net.inside):
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    assert torch.equal(net.norm, before.norm)
    assert torch.equal(net.frozen, before.frozen)
    assert torch.equal(net.never, before.never)
    torch.testing.assert_close(net.inside, before.inside * (1 - 0.05 * 0.5))


@pytest.mark.parametrize("wrong", ["optimizer", "shape", "name"])
def test_state_of_another_run_is_refused_and_changes_nothing(wrong):
    """torch itself would take it, and fail or drift some steps later."""
    net = Net()
    optimizer = build("adamw", net)
    steps(net, optimizer, [1])
    stored = optimizer_tensors(optimizer)
    if wrong == "shape":
        stored["exp_avg/inside"] = stored["exp_avg/inside"].T.contiguous()
    if wrong == "name":
        stored["exp_avg/frozen"] = torch.zeros(4, 4)
    other = build("adafactor" if wrong == "optimizer" else "adamw", Net())
    with pytest.raises(RunMismatchError, match="output folder"):
        load_optimizer_tensors(other, stored)
    assert not other.state


@pytest.mark.parametrize(("name", "rate", "decay"), [("sgd", 0.1, 0.0), ("adamw", 0.0, 0.0), ("adamw", 0.1, -1.0)])
def test_settings_that_cannot_work_are_refused(name, rate, decay):
    """A learning rate of 0 trains nothing, at full price."""
    with pytest.raises(ConfigurationError):
        build_optimizer(name, Net().named_parameters(), rate, decay)


def test_an_objective_that_trains_nothing_is_refused():
    """torch's own message speaks of an empty parameter list."""
    with pytest.raises(ConfigurationError, match="reaches none"):
        build_optimizer("adamw", Net().requires_grad_(False).named_parameters(), 0.1, 0.0)


@given(st.data(), st.integers(1, 500), st.sampled_from(SCHEDULES))
def test_rates_stay_between_zero_and_base_and_rise_only_in_warmup(data, total, schedule):
    """A rate of 0 wastes an update; one above the base is not what was asked for."""
    warmup = data.draw(st.integers(0, total))
    rates = [learning_rate_at(step, total, 3e-4, warmup, schedule) for step in range(1, total + 1)]
    assert all(0 < rate <= 3e-4 * (1 + 1e-12) for rate in rates)
    assert max(rates) == pytest.approx(3e-4)
    assert all(earlier < later for earlier, later in itertools.pairwise(rates[:warmup]))
    assert all(earlier >= later for earlier, later in itertools.pairwise(rates[warmup:]))


def test_rates_are_those_of_their_formulas():
    """Off by one here shifts every comparison between two runs."""
    assert learning_rate_at(1, 100, 1.0, 10, "linear") == pytest.approx(0.1)
    assert learning_rate_at(10, 100, 1.0, 10, "linear") == 1.0
    assert learning_rate_at(100, 100, 1.0, 10, "linear") == pytest.approx(1 / 90)
    assert learning_rate_at(56, 100, 1.0, 10, "cosine") == pytest.approx(0.5)
    assert learning_rate_at(40, 100, 1.0, 10, "inverse-sqrt") == pytest.approx(math.sqrt(10 / 40))
    assert learning_rate_at(99, 100, 1.0, 10, "constant") == 1.0


@pytest.mark.parametrize(
    ("step", "warmup", "schedule"), [(0, 1, "linear"), (11, 1, "linear"), (1, 11, "linear"), (1, 1, "step")]
)
def test_rates_outside_the_run_are_refused(step, warmup, schedule):
    """A negative rate climbs the loss."""
    with pytest.raises(ValueError):
        learning_rate_at(step, 10, 1.0, warmup, schedule)


def test_the_rate_that_adafactor_really_applies_is_returned():
    """torch caps Adafactor's rate at 1 / sqrt(step); a log of the schedule's own number would not be what happened."""
    weight = torch.nn.Parameter(torch.ones(4, 4))
    for name, expected in (("adafactor", 0.01), ("adamw", 0.5)):
        optimizer = build_optimizer(name, [("weight", weight)], 0.5, 0.0)
        assert set_learning_rate(optimizer, 0.5, 10_000) == expected
        assert all(group["lr"] == expected for group in optimizer.param_groups)


def test_adafactor_keeps_its_scale_for_gradients_far_below_one():
    """With torch's default eps the factored second moment of gradients below 3e-4 is wrong, and so is their step."""
    steps = []
    for scale in (1.0, 1e-6):
        weight = torch.nn.Parameter(torch.ones(4, 6))
        optimizer = build_optimizer("adafactor", [("weight", weight)], 1e-2, 0.0)
        generator = torch.Generator().manual_seed(0)
        weight.grad = torch.randn(4, 6, generator=generator) * scale
        optimizer.step()
        steps.append(weight.detach() - 1.0)
    torch.testing.assert_close(steps[0], steps[1], rtol=1e-3, atol=1e-6)
