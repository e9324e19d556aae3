"""Gradient checkpointing: the same numbers to the bit, less kept between forward and backward, and nothing else changed."""

import pytest
import torch
from safetensors.torch import load_file
from torch.profiler import ProfilerActivity, profile
from transformers import modeling_layers

import miniend
from miniend.student_train.config import TrainConfig
from miniend.student_train.reading.loader import in_order
from miniend.student_train.train import train_student
from support.setups import OBJECTIVES, set_up_named, sums_of


def prepare(home, name, **settings):
    """A run's parts for an objective of the table."""
    return set_up_named(miniend.open_cache(home / "cache"), name, **{"size": "3L32H", **settings})


def step(setup, bf16=False):
    """Loss parts and gradients of the first examples."""
    batch = next(in_order(setup.feed.training, 6))
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        found = sums_of(setup, batch)
    setup.distillation.total(found, setup.distillation.counts(batch)).backward()
    gradients = {name: p.grad for name, p in setup.student.named_parameters() if p.grad is not None}
    return {name: value.detach() for name, value in found.items()}, gradients


def assert_same(one, other):
    assert one.keys() == other.keys()
    different = [name for name in one if not torch.equal(one[name], other[name])]
    assert different == []


@pytest.fixture
def no_warning(monkeypatch):
    """transformers' own warnings go to its log, not through Python's."""

    def refuse(message, *_rest):
        raise AssertionError(message)

    monkeypatch.setattr(modeling_layers.logger, "warning_once", refuse)


@pytest.mark.usefixtures("no_warning")
@pytest.mark.parametrize("bf16", [False, True], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_losses_and_gradients_are_the_same_to_the_bit(ragged_home, name, bf16):
    """The taps take tensors out of the middle of a block; a recomputed one in their place would cut the graph."""
    plain, lean = (prepare(ragged_home, name, gradient_checkpointing=lean) for lean in (False, True))
    assert plain.unreached == lean.unreached
    for ours, theirs in zip(step(plain, bf16), step(lean, bf16), strict=True):
        assert_same(ours, theirs)


@pytest.mark.usefixtures("no_warning")
@pytest.mark.parametrize("home", ["span_home", "umt5_home"])
def test_they_are_for_a_tied_t5_and_for_umt5(request, home):
    """umT5 has position biases in every layer, and its own module code."""
    home = request.getfixturevalue(home)
    plain, lean = (prepare(home, "d by qk", gradient_checkpointing=lean) for lean in (False, True))
    for ours, theirs in zip(step(plain), step(lean), strict=True):
        assert_same(ours, theirs)


def kept_bytes(setup):
    """Bytes that a forward allocates and that are still there at its end."""
    batch = next(in_order(setup.feed.training, 6))
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        found = sums_of(setup, batch)
    assert found
    return sum(event.self_cpu_memory_usage for event in profiler.events())


@pytest.mark.parametrize("name", ["scratch", "e without logits"])
def test_less_is_kept_between_forward_and_backward(ragged_home, name):
    """A switch that is set on the wrong modules changes no number, and saves nothing."""
    sizes = {
        (layers, lean): kept_bytes(prepare(ragged_home, name, size=f"{layers}L32H", gradient_checkpointing=lean))
        for layers in (2, 6)
        for lean in (False, True)
    }
    grown = {lean: sizes[6, lean] - sizes[2, lean] for lean in (False, True)}
    assert 0 < grown[True] < grown[False] / 5, sizes


@pytest.mark.usefixtures("no_warning")
def test_a_run_ends_with_the_same_student(span_home, tmp_path):
    """Whether memory is saved decides no weight, so a run may be resumed either way: run.json need not know."""
    settings = {"size": "2L32H", "steps": 4, "batch_size": 4, "save_every": 2, "eval_every": 2, "device": "cpu"}
    for lean in (False, True):
        output = tmp_path / str(lean)
        config = TrainConfig(cache=span_home / "cache", output=output, gradient_checkpointing=lean, **settings)
        train_student(config, lambda _line: None)
    assert_same(*(load_file(tmp_path / str(lean) / "model.safetensors") for lean in (False, True)))
    for file in ("run.json", "config.json", "README.md"):
        assert (tmp_path / "False" / file).read_bytes() == (tmp_path / "True" / file).read_bytes()
