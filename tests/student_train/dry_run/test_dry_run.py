"""A dry run: its counts are those of a hand count and of the run itself, and nothing is different after it."""

import json
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
import torch

import miniend
from miniend.signals.relations.relations import Relation, relation_kl_sum
from miniend.student_train.config import TrainConfig
from miniend.student_train.dry_run import dry_run as measured
from miniend.student_train.dry_run.dry_run import DryRun, describe, dry_run
from miniend.student_train.dry_run.flops import count_flops
from miniend.student_train.reading.loader import steps
from miniend.student_train.run.checkpoint import latest_checkpoint
from miniend.student_train.train import train_student
from support.setups import set_up_alone, step_alone

SETTINGS = {"size": "2L64H", "relation_heads": 4, "batch_size": 8, "steps": 6, "eval_every": 4, "device": "cpu"}


def prepare(home, objective="miniend-e", **settings):
    cache = miniend.open_cache(home / "cache")
    config = TrainConfig(cache=cache.path, output=home / "unused", objective=objective, **{**SETTINGS, **settings})
    return set_up_alone(config, cache)


def expected_flops(setup, micro):
    """6 FLOPs per weight and token that it sees, and attention: bounds, for fused kernels compute scores once more."""
    linear = 0
    ((batch,),) = islice(steps(setup.feed.training, micro, 0, 0), 1)  # the dry run's own first
    (examples, n), m = batch.ids["input"].shape, batch.labels.shape[1]
    for name, parameter in setup.student.named_parameters():
        if parameter.ndim < 2 or name == "shared.weight" or "relative_attention_bias" in name:
            continue
        of_input = name.startswith("encoder") or any(f"EncDecAttention.{x}." in name for x in "kv")
        linear += 6 * parameter.numel() * examples * (n if of_input else m)
    linear += 6 * setup.student.shared.weight.numel() * int(batch.valid["target"].sum())  # the tied head
    config = setup.student.config
    scores = config.num_layers * n * n + config.num_decoder_layers * (m * m + m * n)
    inner = config.num_heads * config.d_kv
    return tuple(linear / examples + passes * scores * inner for passes in (12, 14))


def test_the_flops_are_those_of_a_count_by_hand(span_home):
    """The head, fused attention on a CPU, the input tokens of cross-attention: each is easily left out."""
    setup = prepare(span_home, "scratch")
    low, high = expected_flops(setup, 8)
    assert low <= dry_run(setup, step_alone).flops_per_example <= high


def test_the_losses_own_backward_is_counted():
    """The relation KL forms its gradient in its forward, where a counter of modules sees nothing."""
    batch, length, ours, theirs = 2, 12, 16, 24
    student = {"query": torch.randn(batch, length, ours, requires_grad=True)}
    teacher = {"query": torch.randn(batch, length, theirs)}
    valid = {"input": torch.ones(batch, length, dtype=torch.bool)}
    relation = Relation("query", "query", "query", "input", "input")
    found = count_flops(lambda: relation_kl_sum(relation, teacher, student, valid, 4, 1.0).backward())
    assert found == 2 * batch * length**2 * (theirs + 3 * ours)


def test_recomputed_blocks_are_counted_and_accumulation_is_not(span_home):
    """An example costs the same in whichever micro-batch; a block that is run twice costs more."""
    plain, split, lean = (
        dry_run(prepare(span_home, **settings), step_alone).flops_per_example
        for settings in ({}, {"gradient_accumulation_steps": 4}, {"gradient_checkpointing": True})
    )
    assert split == pytest.approx(plain, rel=0.05)
    assert 1.1 * plain < lean < 4 / 3 * plain


@pytest.mark.parametrize("optimizer", ["adamw", "adafactor"])
def test_sizes_are_those_of_the_run_itself(span_home, tmp_path, optimizer):
    """Two formulas for a checkpoint drift apart; this one is held against the file."""
    found = dry_run(prepare(span_home, optimizer=optimizer), step_alone)
    config = TrainConfig(
        cache=span_home / "cache", output=tmp_path / "out", objective="miniend-e", optimizer=optimizer, **SETTINGS
    )
    train_student(config, lambda _line: None)
    checkpoint = latest_checkpoint(tmp_path / "out" / "checkpoints")
    assert found.checkpoint_bytes == sum(tensor.nbytes for tensor in checkpoint.tensors.values())
    on_disk = sum(path.stat().st_size for path in checkpoint.path.iterdir())
    assert found.checkpoint_bytes <= on_disk <= found.checkpoint_bytes + 40_000
    lines = [json.loads(line) for line in (tmp_path / "out" / "metrics.jsonl").read_text().splitlines()]
    assert found.evaluations == sum("validation.loss" in line for line in lines) == 2
    assert (found.steps, found.batch_size, found.examples) == (6, 8, 24)


def test_nothing_is_different_after_it(span_home):
    """Steps on the student itself would start the run from a student that has already learnt."""
    setup = prepare(span_home)
    before = {name: tensor.clone() for name, tensor in setup.student.state_dict().items()}
    random = torch.get_rng_state()
    flags = [(p.requires_grad, module.training) for module in setup.student.modules() for p in module.parameters()]
    seen = []

    def watched(trial, batches):
        step_alone(trial, batches)
        seen.append(trial)

    dry_run(setup, watched)
    assert len(seen) == 1 + measured.TIMED
    assert all(trial.student is not setup.student for trial in seen)
    assert any(not torch.equal(tensor, before[name]) for name, tensor in seen[0].student.state_dict().items())
    assert all(torch.equal(tensor, before[name]) for name, tensor in setup.student.state_dict().items())
    assert all(parameter.grad is None for parameter in setup.student.parameters())
    now = [(p.requires_grad, module.training) for module in setup.student.modules() for p in module.parameters()]
    assert now == flags
    assert not setup.optimizer.state
    assert torch.equal(torch.get_rng_state(), random)


def test_the_steps_are_taken_as_the_run_takes_them(span_home):
    """A loaded student is in evaluation mode, where nothing is recomputed; a batch is split as the run splits it."""
    setup = prepare(span_home, gradient_accumulation_steps=2, init=str(span_home / "teacher"), size=None)
    setup.student.eval()
    seen = []
    dry_run(setup, lambda trial, batches: (step_alone(trial, batches), seen.append((trial.student.training, batches))))
    assert all(training for training, _ in seen)
    assert [[len(batch.labels) for batch in batches] for _, batches in seen] == [[4, 4]] * 4
    assert not setup.student.training


def test_without_validation_examples_no_evaluation_is_expected(logit_caches):
    """An average over nothing."""
    cache = logit_caches["top-k"]
    config = TrainConfig(cache=cache.path, output=Path("unused"), objective="logits", **SETTINGS)
    found = dry_run(set_up_alone(config, cache), step_alone)
    assert (found.evaluations, found.evaluation_seconds) == (0, 0.0)


FOUND = DryRun(
    parameters=30_000_000,
    parameters_without_embeddings=18_000_000,
    term_parameters=0,
    parameter_bytes=120_000_000,
    optimizer_bytes=240_000_000,
    step_bytes=1_640_000_000,
    measure="resident memory",
    flops_per_example=2e11,
    step_seconds=8.0,
    data_seconds=0.5,
    evaluation_seconds=60.0,
    filter_seconds=0.0,
    evaluations=10,
    steps=1000,
    batch_size=32,
    examples=20_000,
)


def test_the_lines_say_it_in_units_that_people_read():
    """Numbers of a known run, worked out by hand."""
    assert list(describe(FOUND)) == [
        "parameters  30,000,000, 18,000,000 without embeddings",
        "compute     200 GFLOP per example, forward and backward; 800 GFLOP/s",
        "memory      2 GB: parameters 120 MB, optimizer 240 MB, peak of a step beyond them 1.64 GB (resident memory)",
        "on disk     360 MB a checkpoint, two of them while one replaces the other; 120 MB the student, "
        "and as much the best one",
        "steps       1,000 of 32 examples, 1.60 epochs over 20,000",
        "one step    8 s, median of 3; reading its examples 0.5 s, by threads ahead of it",
        "whole run   2.4 h: steps 2.2 h, 10 evaluations 10.0 min",
    ]


def test_the_students_own_filters_are_a_part_of_the_whole_run():
    found = replace(FOUND, filter_seconds=1800.0)
    assert found.total_seconds == 1800 + 1000 * 8 + 10 * 60
    assert list(describe(found))[-1] == "whole run   2.9 h: own filters 30.0 min, steps 2.2 h, 10 evaluations 10.0 min"


def test_where_reading_is_slower_than_computing_it_sets_the_pace():
    """The loader's thread hides what a step's time covers, and no more."""
    assert replace(FOUND, data_seconds=20.0).total_seconds == 1000 * 20 + 10 * 60
