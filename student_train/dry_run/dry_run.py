"""`miniend train-student --dry-run`: what a run would compute, hold and take, by doing a few of its steps on a throwaway copy.

Steps are the run's own, on real batches in the run's order. What they cannot show is extrapolated: evaluations by the example,
reading by the example of one shard.
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
from ...models.optimizers import build_optimiser
from ...runtime.progress import duration, size_text
from ..reading.batch import Batch
from ..reading.loader import Prefetcher, Share, in_order, steps
from ..reading.teacher_signals import TeacherSignals
from ..run.setup import Setup
from .flops import count_flops
from .peak_memory import peak_growth

TIMED = 3
"""Steps that are timed, after one that is not."""

Step = Callable[[Setup, list[Batch]], object]
"""One optimiser step of a setup over the micro-batches of one batch."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DryRun:
    """What was found. Bytes and seconds; FLOPs count a multiplication and an addition as two."""

    parameters: int
    parameters_without_embeddings: int
    term_parameters: int
    """The terms' own, which train with the student and are not exported."""
    parameter_bytes: int
    """The student's and the terms' own."""
    optimiser_bytes: int
    step_bytes: int
    """Peak of a step without the two above: gradients and activations."""
    measure: str
    """How the peak was measured."""
    flops_per_example: float
    """Of a step's forward and backward: one example's share."""
    step_seconds: float
    """Median of the timed steps."""
    data_seconds: float
    """Reading the examples of one step by one thread; a run has several, which read ahead of the steps."""
    evaluation_seconds: float
    """Of one evaluation."""
    evaluations: int
    steps: int
    batch_size: int
    examples: int
    """In the training split of the cache."""

    @property
    def checkpoint_bytes(self) -> int:
        """Of one checkpoint: parameters and optimiser, without a few kB of names."""
        return self.parameter_bytes + self.optimiser_bytes

    @property
    def training_seconds(self) -> float:
        """All steps; where reading is slower than computing, it is what they wait for."""
        return self.steps * max(self.step_seconds, self.data_seconds)

    @property
    def total_seconds(self) -> float:
        """The whole run, without start and checkpoints."""
        return self.training_seconds + self.evaluations * self.evaluation_seconds


def dry_run(setup: Setup, step: Step) -> DryRun:
    """Measure a run by TIMED + 1 of its steps; `setup` stays as it is, but for shards that its sources keep in memory.

    Raises whatever the run itself would raise in its first step.
    """
    config, student = setup.config, setup.student
    trial, device = _throwaway(setup), setup.feed.device
    stream = steps(
        setup.feed.training, config.batch_size, config.seed, 0, Share(passes=config.gradient_accumulation_steps)
    )
    with closing(Prefetcher(stream)) as ahead:
        batches = list(islice(ahead, 1 + TIMED))
    with peak_growth(device) as growth:
        seconds = [_timed(device, partial(step, trial, taken)) for taken in batches]
    optimiser_bytes = sum(_bytes(state.values()) for state in trial.optimiser.state.values())
    batch = batches[0][0].to(device)
    teacher = setup.feed.decoder.decode(batch)
    parameters, without_embeddings = parameter_counts(student)
    return DryRun(
        parameters=parameters,
        parameters_without_embeddings=without_embeddings,
        term_parameters=sum(parameter.numel() for parameter in setup.distillation.terms.parameters()),
        parameter_bytes=_bytes(setup.distillation.parameters()),
        optimiser_bytes=optimiser_bytes,
        step_bytes=max(0, growth.bytes - optimiser_bytes),
        measure=growth.measure,
        flops_per_example=count_flops(partial(_backward, trial, batch, teacher)) / len(batch.examples),
        step_seconds=median(seconds[1:]),
        data_seconds=_read_seconds(setup) * config.batch_size,
        evaluation_seconds=_evaluation_seconds(setup),
        evaluations=ceil(config.steps / config.eval_every) if setup.feed.validation.layout.total else 0,
        steps=config.steps,
        batch_size=config.batch_size,
        examples=setup.feed.training.layout.total,
    )


def describe(found: DryRun) -> Iterator[str]:
    """The lines that `miniend train-student --dry-run` prints of one student."""
    rate = found.flops_per_example * found.batch_size / found.step_seconds
    held = found.parameter_bytes + found.optimiser_bytes + found.step_bytes
    epochs = found.steps * found.batch_size / found.examples
    evaluations = duration(found.evaluations * found.evaluation_seconds)
    own = f"; {found.term_parameters:,} of the loss terms" if found.term_parameters else ""
    rows = {
        "parameters": f"{found.parameters:,}, {found.parameters_without_embeddings:,} without embeddings{own}",
        "compute": f"{_three(found.flops_per_example / 1e9)} GFLOP per example, forward and backward; "
        f"{_three(rate / 1e9)} GFLOP/s",
        "memory": f"{size_text(held)}: parameters {size_text(found.parameter_bytes)}, "
        f"optimizer {size_text(found.optimiser_bytes)}, "
        f"peak of a step beyond them {size_text(found.step_bytes)} ({found.measure})",
        "on disk": f"{size_text(found.checkpoint_bytes)} a checkpoint, two of them while one replaces the other; "
        f"{size_text(found.parameter_bytes)} the student, and as much the best one",
        "steps": f"{found.steps:,} of {found.batch_size:,} examples, {epochs:,.2f} epochs over {found.examples:,}",
        "one step": f"{found.step_seconds:.3g} s, median of {TIMED}; reading its examples {found.data_seconds:.3g} s, "
        "by threads ahead of it",
        "whole run": f"{duration(found.total_seconds)}: steps {duration(found.training_seconds)}, "
        f"{found.evaluations:,} evaluations {evaluations}",
    }
    for name, text in rows.items():
        yield f"{name:<11} {text}"


def _throwaway(setup: Setup) -> Setup:
    """The setup with a copy of the student to train, and an optimiser of its own."""
    config, distillation = setup.config, copy.deepcopy(setup.distillation).train()
    trained = distillation.trained()
    optimiser = build_optimiser(config.optimizer, trained, config.peak_learning_rate, config.weight_decay)
    return replace(setup, distillation=distillation, optimiser=optimiser)


def _read_seconds(setup: Setup) -> float:
    """Seconds per example of reading a shard and making its batches, by one thread."""
    source, size = setup.feed.training, setup.config.batch_size
    numbers = np.arange(source.layout.examples[0])
    begun = perf_counter()
    records = source.read(0, numbers)
    for first in range(0, len(numbers), size):
        source.batch(numbers[first : first + size], records[first : first + size])
    return (perf_counter() - begun) / len(numbers)


def _backward(trial: Setup, batch: Batch, teacher: TeacherSignals) -> None:
    with torch.autocast(trial.feed.device.type, torch.bfloat16, enabled=trial.config.bf16):
        found = trial.distillation(batch, teacher)
    trial.distillation.total(found, trial.distillation.counts(batch)).backward()  # type: ignore[no-untyped-call]


@torch.no_grad()
def _evaluation_seconds(setup: Setup) -> float:
    """All validation examples at the rate of the second micro-batch, which the first warms up for; 0 without any."""
    feed, examples = setup.feed, setup.feed.validation.layout.total
    seconds = 0.0
    for batch in islice(
        in_order(feed.validation, setup.config.batch_size // setup.config.gradient_accumulation_steps), 2
    ):
        here = batch.to(feed.device)
        work = partial(_evaluate, setup, here)
        seconds = _timed(feed.device, work) / len(batch.examples)
    return seconds * examples


def _evaluate(setup: Setup, batch: Batch) -> None:
    setup.evaluation(batch, setup.feed.decoder.decode(batch))


def _timed(device: torch.device, work: Callable[[], object]) -> float:
    begun = perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return perf_counter() - begun


def _bytes(values: Iterable[object]) -> int:
    return sum(value.nbytes for value in values if isinstance(value, torch.Tensor))


def _three(number: float) -> str:
    """With three digits at least: `1,234`, `12.3`, `0.0123`."""
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"
