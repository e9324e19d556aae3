"""`miniend train-student --dry-run`: measure a run's computation, memory and time by a few of its steps on a throwaway copy.

The steps are the run's own, on real batches in the run's order. Two things are extrapolated: evaluation from the time per
example, and reading from the time per example of one shard.
"""

import copy
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from math import ceil
from statistics import median
from time import perf_counter

import numpy as np
import torch

from ...models.families import parameter_counts
from ...models.optimizers import build_optimizer
from ...runtime.devices import timed
from ...runtime.progress import duration, size_text
from ..reading.batch import Batch
from ..reading.loader import Prefetcher, Share, in_order, steps
from ..reading.teacher_signals import TeacherSignals
from ..run.setup import Setup
from .flops import count_flops
from .own_filters import own_filter_seconds
from .peak_memory import peak_growth

TIMED = 3
"""The number of steps that are timed, after one that is not."""

Step = Callable[[Setup, list[Batch]], object]
"""A function that makes one optimizer step of a setup over the micro-batches of one batch."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DryRun:
    """The measurements of a dry run, in bytes and seconds. A multiplication and an addition count as two FLOPs."""

    parameters: int
    parameters_without_embeddings: int
    term_parameters: int
    """The number of the terms' own parameters, which train with the student and are not exported."""
    parameter_bytes: int
    """The bytes of the parameters of student and terms."""
    optimizer_bytes: int
    """The bytes of the optimizer state."""
    step_bytes: int
    """The peak of a step without the two above: gradients and activations."""
    measure: str
    """How the peak was measured."""
    flops_per_example: float
    """One example's share of a step's forward and backward."""
    step_seconds: float
    """The median time of the timed steps."""
    data_seconds: float
    """The time in which one thread reads the examples of one step; a run has several threads, which read ahead of the steps."""
    evaluation_seconds: float
    """The time of one evaluation."""
    filter_seconds: float
    """The time in which the student's own filters are trained before the first step (objective ted); else 0."""
    evaluations: int
    steps: int
    batch_size: int
    examples: int
    """The number of examples in the training split of the cache."""

    @property
    def checkpoint_bytes(self) -> int:
        """The bytes of one checkpoint: parameters and optimizer state, without a few kB of names."""
        return self.parameter_bytes + self.optimizer_bytes

    @property
    def training_seconds(self) -> float:
        """The time of all steps. If reading is slower than computing, the steps wait for it."""
        return self.steps * max(self.step_seconds, self.data_seconds)

    @property
    def total_seconds(self) -> float:
        """The time of the whole run, without start and checkpoints."""
        return self.filter_seconds + self.training_seconds + self.evaluations * self.evaluation_seconds


def dry_run(setup: Setup, step: Step) -> DryRun:
    """Measure a run by TIMED + 1 of its steps. `setup` stays as it is, except for shards that its sources keep in memory.

    Raises any error that the run would raise in its first steps.
    """
    config, student = setup.config, setup.student
    trial, device = _throwaway(setup), setup.feed.device
    stream = steps(
        setup.feed.training, config.batch_size, config.seed, 0, Share(passes=config.gradient_accumulation_steps)
    )
    with closing(Prefetcher(stream)) as ahead:
        batches = list(islice(ahead, 1 + TIMED))
    with peak_growth(device) as growth:
        seconds = [timed(device, partial(step, trial, taken))[1] for taken in batches]
    optimizer_bytes = sum(_bytes(state.values()) for state in trial.optimizer.state.values())
    batch = batches[0][0].to(device)
    teacher = setup.feed.decoder.decode(batch)
    parameters, without_embeddings = parameter_counts(student)
    return DryRun(
        parameters=parameters,
        parameters_without_embeddings=without_embeddings,
        term_parameters=sum(parameter.numel() for parameter in setup.distillation.terms.parameters()),
        parameter_bytes=_bytes(setup.distillation.parameters()),
        optimizer_bytes=optimizer_bytes,
        step_bytes=max(0, growth.bytes - optimizer_bytes),
        measure=growth.measure,
        flops_per_example=count_flops(partial(_backward, trial, batch, teacher)) / len(batch.examples),
        step_seconds=median(seconds[1:]),
        data_seconds=_read_seconds(setup) * config.batch_size,
        evaluation_seconds=_evaluation_seconds(setup),
        filter_seconds=own_filter_seconds(setup),
        evaluations=ceil(config.steps / config.eval_every) if setup.feed.validation.layout.total else 0,
        steps=config.steps,
        batch_size=config.batch_size,
        examples=setup.feed.training.layout.total,
    )


def describe(run: DryRun) -> Iterator[str]:
    """Yield the lines that `miniend train-student --dry-run` prints about one student."""
    rate = run.flops_per_example * run.batch_size / run.step_seconds
    held = run.parameter_bytes + run.optimizer_bytes + run.step_bytes
    epochs = run.steps * run.batch_size / run.examples
    evaluations = duration(run.evaluations * run.evaluation_seconds)
    filters = f"own filters {duration(run.filter_seconds)}, " if run.filter_seconds else ""
    own = f"; {run.term_parameters:,} of the loss terms" if run.term_parameters else ""
    rows = {
        "parameters": f"{run.parameters:,}, {run.parameters_without_embeddings:,} without embeddings{own}",
        "compute": f"{_three(run.flops_per_example / 1e9)} GFLOP per example, forward and backward; "
        f"{_three(rate / 1e9)} GFLOP/s",
        "memory": f"{size_text(held)}: parameters {size_text(run.parameter_bytes)}, "
        f"optimizer {size_text(run.optimizer_bytes)}, peak of a step beyond them {size_text(run.step_bytes)} ({run.measure})",
        "on disk": f"{size_text(run.checkpoint_bytes)} a checkpoint, two of them while one replaces the other; "
        f"{size_text(run.parameter_bytes)} the student, and as much the best one",
        "steps": f"{run.steps:,} of {run.batch_size:,} examples, {epochs:,.2f} epochs over {run.examples:,}",
        "one step": f"{run.step_seconds:.3g} s, median of {TIMED}; reading its examples {run.data_seconds:.3g} s, "
        "by threads ahead of it",
        "whole run": f"{duration(run.total_seconds)}: {filters}steps {duration(run.training_seconds)}, "
        f"{run.evaluations:,} evaluations {evaluations}",
    }
    for name, text in rows.items():
        yield f"{name:<11} {text}"


def _throwaway(setup: Setup) -> Setup:
    """Return the setup with a copy of the student to train, and an optimizer for the copy."""
    config, distillation = setup.config, copy.deepcopy(setup.distillation).train()
    trained = distillation.trained()
    optimizer = build_optimizer(config.optimizer, trained, config.peak_learning_rate, config.weight_decay)
    return replace(setup, distillation=distillation, optimizer=optimizer)


def _read_seconds(setup: Setup) -> float:
    """Return the seconds per example in which one thread reads a shard and makes its batches."""
    source, size = setup.feed.training, setup.config.batch_size
    numbers = np.arange(source.layout.examples[0])
    begun = perf_counter()
    records = source.read(0, numbers)
    for first in range(0, len(numbers), size):
        source.batch(numbers[first : first + size], records[first : first + size])
    return (perf_counter() - begun) / len(numbers)


def _backward(trial: Setup, batch: Batch, teacher: TeacherSignals) -> None:
    with torch.autocast(trial.feed.device.type, torch.bfloat16, enabled=trial.config.bf16):
        sums = trial.distillation(batch, teacher)
    trial.distillation.total(sums, trial.distillation.counts(batch)).backward()  # type: ignore[no-untyped-call]


@torch.no_grad()
def _evaluation_seconds(setup: Setup) -> float:
    """Return the seconds of all validation examples at the rate of the second micro-batch, after one as a warm-up.

    Without validation examples it is 0.
    """
    feed, examples = setup.feed, setup.feed.validation.layout.total
    seconds = 0.0
    for batch in islice(
        in_order(feed.validation, setup.config.batch_size // setup.config.gradient_accumulation_steps), 2
    ):
        here = batch.to(feed.device)
        work = partial(_evaluate, setup, here)
        seconds = timed(feed.device, work)[1] / len(batch.examples)
    return seconds * examples


def _evaluate(setup: Setup, batch: Batch) -> None:
    setup.evaluation(batch, setup.feed.decoder.decode(batch))


def _bytes(values: Iterable[object]) -> int:
    return sum(value.nbytes for value in values if isinstance(value, torch.Tensor))


def _three(number: float) -> str:
    """Return a number with at least three digits: `1,234`, `12.3`, `0.0123`."""
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"
