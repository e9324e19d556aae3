"""`miniend train-student`: a student, an objective and a cache to a Hugging Face model directory.

The loop is one visible step; logging, evaluation and checkpoints stand around it. Everything that a resumed run needs is in
the checkpoint: parameters, optimiser state, step. The order of examples follows from the step.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import torch

from ..cache import open_cache
from ..errors import ConfigurationError, TrainingError
from ..progress import Say, progress_bar
from .checkpoint import latest_checkpoint, save_checkpoint
from .config import TrainConfig
from .distillation import Batch
from .dry_run import describe, dry_run
from .gradient_norms import gradient_norms
from .loader import Ahead, in_order, shuffled
from .metrics import HELD_OUT, MetricsLog, last_held_out
from .model_card import model_card
from .objective import build_objective, required_codecs
from .optimisers import (
    learning_rate_at,
    load_optimiser_tensors,
    optimiser_tensors,
    set_learning_rate,
)
from .report import card_facts
from .run import CHECKPOINTS, claim_output, is_finished, part_taken
from .setup import Setup, set_up
from .student import save_student


@dataclass(slots=True)
class Progress:
    """What the loop carries from step to step, and a checkpoint stores."""

    step: int = 0
    tokens: int = 0
    initial_loss: float = math.nan
    loss: float = math.nan


def train_student(config: TrainConfig, say: Say = print) -> dict[str, float]:
    """Stage two: train one student from a cache and write it to `config.output`; returns its held-out losses in nats.

    Running it again continues from the latest checkpoint, with the shards that were published when the run began; a finished
    run is left alone. A dry run says what it would take, whatever is in `config.output`, writes nothing and returns nothing.
    """
    cache = open_cache(config.cache, config.allow_unfinished, part_taken(config.output))
    if not len(cache.training):
        raise ConfigurationError(f"{config.cache} has no training examples published yet; run dump-teacher again")
    objective = build_objective(
        config.objective, config.logits, config.cross_relation, config.weight, config.temperature
    )
    codecs = required_codecs(objective, cache)
    setup = set_up(config, cache, objective, codecs, say)
    if config.dry_run:
        for line in describe(dry_run(setup, _lone_step)):
            say(line)
        return {}
    claim_output(config, cache, setup.student.config.to_dict())
    if is_finished(config.output):
        say(f"{config.output} is finished: {config.steps} steps")
        return last_held_out(config.output)
    progress = _restore(setup, say)
    with MetricsLog(config.output, progress.step) as log:
        held_out = _loop(setup, progress, log)
    return _finish(setup, progress, held_out, say)


def _restore(setup: Setup, say: Say) -> Progress:
    checkpoint = latest_checkpoint(setup.config.output / CHECKPOINTS)
    if checkpoint is None:
        return Progress()
    parameters = {f"student/{name}": parameter for name, parameter in setup.student.named_parameters()}
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(checkpoint.tensors[name])
    state = {name: t for name, t in checkpoint.tensors.items() if name not in parameters}
    load_optimiser_tensors(setup.optimiser, {name.removeprefix("optimiser/"): tensor for name, tensor in state.items()})
    say(f"resumed at step {checkpoint.step}")
    return Progress(checkpoint.step, **checkpoint.state)


def _save(setup: Setup, progress: Progress) -> None:
    tensors = {f"student/{name}": parameter.detach() for name, parameter in setup.student.named_parameters()}
    tensors |= {f"optimiser/{name}": tensor for name, tensor in optimiser_tensors(setup.optimiser).items()}
    state = {"tokens": progress.tokens, "initial_loss": progress.initial_loss, "loss": progress.loss}
    save_checkpoint(setup.config.output / CHECKPOINTS, progress.step, tensors, state)


def _loop(setup: Setup, progress: Progress, log: MetricsLog) -> dict[str, float]:
    config = setup.config
    micro = config.batch_size // config.accumulate
    ahead = Ahead(shuffled(setup.training, micro, config.seed, start=progress.step * config.accumulate))
    held_out: dict[str, float] = {}
    clock = Clock(progress.tokens)
    setup.student.train()
    try:
        with progress_bar("train", config.steps, "step", initial=progress.step) as bar:
            while progress.step < config.steps:
                waiting = perf_counter()
                batches = [next(ahead) for _ in range(config.accumulate)]
                clock.waited += perf_counter() - waiting

                values = train_step(setup, progress, batches)

                line: dict[str, float] = {}
                last = progress.step == config.steps
                if config.is_logged(progress.step):
                    line |= values | clock.read(progress.tokens)
                    bar.set_postfix(loss=f"{progress.loss:.4f}", tokens_per_s=f"{line['tokens_per_second']:.0f}")
                if progress.step % config.eval_every == 0 or last:
                    with clock.paused():
                        held_out = evaluate(setup)
                    line |= {f"{HELD_OUT}{name}": value for name, value in held_out.items()}
                if line:
                    log.log(progress.step, line)
                if progress.step % config.save_every == 0 or last:
                    with clock.paused():
                        _save(setup, progress)
                bar.update()
    finally:
        ahead.close()
    return held_out or evaluate(setup)


def train_step(setup: Setup, progress: Progress, batches: list[Batch]) -> dict[str, float]:
    """One optimiser step over the micro-batches of one batch; updates `progress` and returns what to log.

    Gradient norms are those before clipping, those by part are taken for steps that are logged alone.

    Raises TrainingError, before the update, when the loss or its gradient is not finite.
    """
    config, distillation = setup.config, setup.distillation
    counts = _added(distillation.counts(batch) for batch in batches)
    sums: dict[str, float] = dict.fromkeys(counts, 0.0)
    for batch in batches:
        with torch.autocast(setup.device.type, torch.bfloat16, enabled=config.bf16):
            found = distillation(batch.to(setup.device))
        distillation.total(found, counts).backward()  # type: ignore[no-untyped-call]
        sums = {name: sums[name] + float(value.detach()) for name, value in found.items()}
        progress.tokens += int(sum(valid.sum() for valid in batch.valid.values()))
    terms = distillation.term_means(sums, counts)
    progress.step += 1
    progress.loss = sum(setup.objective.weights[term] * mean for term, mean in terms.items())
    if progress.step == 1:
        progress.initial_loss = progress.loss
    norms = gradient_norms(setup.student) if config.is_logged(progress.step) else {}
    norm = _clip(setup.student, config.clip)
    if not math.isfinite(progress.loss + norm):
        raise TrainingError(
            f"the loss or its gradient is not finite at step {progress.step} (loss {progress.loss}, gradient norm {norm}); "
            "the last checkpoint is kept: lower --learning-rate, lengthen --warmup-steps or train without --bf16"
        )
    rate = learning_rate_at(progress.step, config.steps, config.peak_learning_rate, config.warmup, config.schedule)
    rate = set_learning_rate(setup.optimiser, rate, progress.step)
    setup.optimiser.step()
    setup.optimiser.zero_grad(set_to_none=True)
    return {"loss": progress.loss, **terms, "gradient_norm": norm, **norms, "learning_rate": rate}


def _lone_step(setup: Setup, batches: list[Batch]) -> None:
    """A step that no other one follows."""
    train_step(setup, Progress(), batches)


def _clip(student: Any, limit: float) -> float:
    parameters = [parameter for parameter in student.parameters() if parameter.grad is not None]
    return float(torch.nn.utils.clip_grad_norm_(parameters, limit if limit > 0 else math.inf))


def _added(counts: Iterator[dict[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for found in counts:
        total = {name: total.get(name, 0) + value for name, value in found.items()}
    return total


@torch.no_grad()
def evaluate(setup: Setup) -> dict[str, float]:
    """Held-out means in nats: `loss` (the objective's weighted sum), every term, and `cross_entropy` (hard labels) where the
    student's head is trained; empty without validation examples. In float32, whatever the training runs in."""
    sums: dict[str, float] = {}
    counts: dict[str, int] = {}
    for batch in in_order(setup.validation, setup.config.batch_size // setup.config.accumulate):
        found = setup.evaluation(batch.to(setup.device))
        sums = {name: sums.get(name, 0.0) + float(value) for name, value in found.items()}
        counts = _added(iter([counts, setup.evaluation.counts(batch)])) if counts else setup.evaluation.counts(batch)
    if not counts:
        return {}
    means = setup.evaluation.term_means(sums, counts)
    loss = sum(weight * means[term] for term, weight in setup.objective.weights.items())
    own = {term: means[term] for term in setup.objective.weights if term != "labels"}
    return {"loss": loss, **own} | ({"cross_entropy": means["labels"]} if "labels" in means else {})


@dataclass(slots=True)
class Clock:
    """Seconds and tokens since the last line of the log."""

    tokens: int
    begun: float = 0.0
    waited: float = 0.0

    def __post_init__(self) -> None:
        self.begun = perf_counter()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Time that is none of the steps': evaluation and checkpoints."""
        stopped = perf_counter()
        yield
        self.begun += perf_counter() - stopped

    def read(self, tokens: int) -> dict[str, float]:
        """The three timing fields; starts again from now."""
        seconds = perf_counter() - self.begun
        fields = {
            "tokens_per_second": (tokens - self.tokens) / seconds,
            "step_seconds": seconds,
            "data_wait_seconds": self.waited,
        }
        self.tokens, self.begun, self.waited = tokens, perf_counter(), 0.0
        return fields


def _finish(setup: Setup, progress: Progress, held_out: dict[str, float], say: Say) -> dict[str, float]:
    facts = card_facts(setup, progress.step, progress.tokens, progress.initial_loss, progress.loss, held_out)
    save_student(setup.student, setup.config.output, setup.cache.tokenizer_files(), model_card(facts))
    found = ", ".join(f"{name} {value:.4f}" for name, value in held_out.items()) or "no validation examples"
    say(f"trained {progress.step} steps, {progress.tokens:,} tokens; held-out: {found}")
    say(f"wrote {setup.config.output}")
    return held_out
