"""`miniend train-student`: students, objectives and a cache to Hugging Face model directories.

Students that train together see the same batches, each read and decoded once; apart from that they know nothing of each
other, and each ends with the weights that it would have alone. Everything that a resumed run needs is in its checkpoint:
parameters, optimiser state, step. The order of examples follows from the step.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from functools import partial

import torch

from ..errors import ConfigurationError, TrainingError
from ..models.optimizers import learning_rate_at, set_learning_rate
from ..runtime.progress import Say, progress_bar, silent
from ..runtime.stopping import Terminated, held_back
from .config import TrainConfig
from .distillation import Distillation
from .dry_run.dry_run import DryRun, describe, dry_run
from .reading.batch import Batch
from .reading.loader import Prefetcher, Share, steps
from .run.directory import is_finished
from .run.gradient_norms import gradient_norms
from .run.metrics import last_held_out
from .run.one_pass import claim_outputs, require_one_pass, require_same_steps, set_up_all
from .run.processes import Processes, Stopped
from .run.setup import Setup
from .run.student_run import StudentRun
from .run.validation import evaluate


def train_student(config: TrainConfig, say: Say = print) -> dict[str, float]:
    """Stage two: train one student from a cache and write it to `config.output`; returns its held-out losses in nats.

    Running it again continues from the latest checkpoint, with the shards that were published when the run began; a finished
    run is left alone.
    """
    return train_students([config], say)[0]


def train_students(configs: Sequence[TrainConfig], say: Say = print) -> list[dict[str, float]]:
    """Several students in one pass over the cache; each may be resumed, together with the others or alone.

    Raises ConfigurationError where settings differ that one pass has in common, or two students have one output.
    """
    processes = Processes(configs[0].device, configs[0].tracker)
    say = say if processes.main else silent
    try:
        require_one_pass(configs, processes.world)
        setups = set_up_all(configs, processes, say)
        claim_outputs(setups, processes)
        unfinished = []
        for setup in setups:
            if is_finished(setup.config.output):
                say(f"{setup.config.output} is finished: {setup.config.steps} steps")
            else:
                unfinished.append(setup)
        del setups  # and with it finished students
        if unfinished:
            _train(unfinished, processes, say)
        return [last_held_out(config.output) for config in configs]
    finally:
        processes.close()


def dry_run_students(configs: Sequence[TrainConfig], say: Say = print) -> list[DryRun]:
    """Say what `train_students` would compute, hold and take, by a few steps of each student.

    Outputs are not touched; all that is looked at there is with what part of the cache a run began, and whether it is finished.
    """
    processes = Processes(configs[0].device)
    try:
        if processes.world > 1:
            raise ConfigurationError("--dry-run speaks of one process; start it without torchrun or accelerate launch")
        require_one_pass(configs, processes.world)
        found = []
        for setup in set_up_all(configs, processes, say):
            if len(configs) > 1:
                say(f"{setup.config.output.name}:")
            found.append(dry_run(setup, partial(_lone_step, processes)))
            for line in describe(found[-1]):
                say(line)
        return found
    finally:
        processes.close()


def _lone_step(processes: Processes, setup: Setup, batches: Sequence[Batch]) -> None:
    """A step that no other one follows."""
    train_step([StudentRun(setup, processes)], batches, processes)


def _train(setups: Sequence[Setup], processes: Processes, say: Say) -> None:
    """From wherever each student stands to its end. A signal waits for the end of a step, and then for a checkpoint; an error
    on the way there is raised in its place."""
    prefixes = [f"{setup.config.output.name}/" if len(setups) > 1 else "" for setup in setups]
    runs = [StudentRun(setup, processes, prefix) for setup, prefix in zip(setups, prefixes, strict=True)]
    processes.start_trackers(
        {
            f"{prefix}{key}": str(value)
            for setup, prefix in zip(setups, prefixes, strict=True)
            for key, value in asdict(setup.config).items()
        }
    )
    with ExitStack() as stack:
        for run in runs:
            run.restore(say)
            stack.callback(run.close)
        require_same_steps([run.state.step for run in runs], processes)
        with held_back(unless=Exception):
            _loop(runs, processes)
        for run in runs:
            run.finish(say)
        processes.wait()


def _save(runs: Sequence[StudentRun], processes: Processes) -> None:
    for run in runs:
        run.save()
    processes.wait()


def _loop(runs: Sequence[StudentRun], processes: Processes) -> None:
    config, feed = runs[0].setup.config, runs[0].setup.feed
    first = min(run.state.step for run in runs)
    share = Share(processes.rank, processes.world, config.gradient_accumulation_steps)
    ahead = Prefetcher(steps(feed.training, config.batch_size, config.seed, first, share))
    try:
        _end_step([run for run in runs if run.state.unlogged is not None], processes)
        with progress_bar("train", config.steps, "step", initial=first, shown=processes.main) as bar:
            for step in range(first, config.steps):
                processes.stop_if_told()
                due = [run for run in runs if run.state.step == step]
                with paused([run for run in runs if run not in due]):
                    train_step(due, _next(ahead, due), processes)
                bar.set_postfix({run.name: f"{run.state.loss:.4f}" for run in due}, refresh=False)
                _end_step(due, processes)
                bar.update()
    except Stopped:  # saved before the loader's threads are waited for: notice is short
        _save(runs, processes)
        raise Terminated from None
    except TrainingError:
        _save([run for run in runs if not run.failed], processes)
        raise
    finally:
        ahead.close()


@contextmanager
def paused(runs: Sequence[StudentRun]) -> Iterator[None]:
    """Inside, the clocks of these runs stand."""
    with ExitStack() as stack:
        for run in runs:
            stack.enter_context(run.clock.paused())
        yield


def _next(ahead: Prefetcher[list[Batch]], runs: Sequence[StudentRun]) -> list[Batch]:
    with ExitStack() as stack:
        for run in runs:
            stack.enter_context(run.clock.waiting())
        return next(ahead)


def train_step(runs: Sequence[StudentRun], batches: Sequence[Batch], processes: Processes) -> None:
    """One optimizer step of every run over this process's micro-batches of one step.

    Raises TrainingError, before the update, when a loss or its gradient is not finite.
    """
    if not runs:
        return
    feed = runs[0].setup.feed
    counts, tokens = _count(runs, batches, processes)  # what sums are divided by, over the whole step and all processes

    for number, batch in enumerate(batches, start=1):
        here = batch.to(feed.device)
        teacher = feed.decoder.decode(here)
        exchanging = number == len(batches)  # DDP exchanges gradients in the last backward of a step
        with processes.without_exchange([] if exchanging else [run.module for run in runs]):
            for run, of in zip(runs, counts, strict=True):
                with run.autocast():
                    sums = run.module(here, teacher)  # forward and losses
                loss = run.setup.distillation.total(sums, of) * processes.world  # since DDP averages gradients
                loss.backward()
                run.note(sums, loss, here)

    for run, of in zip(runs, counts, strict=True):
        config, distillation, optimizer = run.setup.config, run.setup.distillation, run.setup.optimiser
        step = run.state.step + 1
        terms = distillation.term_means(run.step_sums(), of)
        value = sum(distillation.weights[term] * mean for term, mean in terms.items())
        by_part = gradient_norms(distillation) if config.is_logged(step) else {}  # before clipping
        norm = clip_gradient(distillation, config.max_grad_norm)
        run.require_finite(value, norm)

        rate = learning_rate_at(step, config.steps, config.peak_learning_rate, config.warmup, config.schedule)
        rate = set_learning_rate(optimizer, rate, step)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

        metrics = {"loss": value, **terms, "gradient_norm": norm, **by_part, "learning_rate": rate}
        run.advance(value, tokens, metrics if config.is_logged(step) else {})


def clip_gradient(distillation: Distillation, limit: float) -> float:
    """Scale the gradient down to a global norm of `limit`, 0 for none; returns the norm before."""
    parameters = [parameter for _, parameter in distillation.trained() if parameter.grad is not None]
    return float(torch.nn.utils.clip_grad_norm_(parameters, limit if limit > 0 else math.inf))


def _count(
    runs: Sequence[StudentRun], batches: Sequence[Batch], processes: Processes
) -> tuple[list[dict[str, float]], int]:
    """By run, how much each part of its loss sums over the whole step, all processes included; and the step's tokens."""
    own = [[run.counts(batch) for batch in batches] for run in runs]
    flat = [sum(part) for of in own for part in zip(*of, strict=True)]
    *found, tokens = processes.sum([*flat, sum(batch.tokens for batch in batches)])
    values = iter(found)
    counts = [{part.name: next(values) for part in run.setup.distillation.parts} for run in runs]
    return counts, int(tokens)


def _end_step(runs: Sequence[StudentRun], processes: Processes) -> None:
    """Evaluation, the line of the log and the checkpoint, where they are due. Raises Stopped between two batches."""
    with paused(runs):
        for step in sorted({run.state.step for run in runs}):
            here = [run for run in runs if run.state.step == step]
            config = here[0].setup.config
            last = step == config.steps
            due = step % config.eval_every == 0 or last
            found = evaluate([run.setup for run in here], processes) if due else [None] * len(here)
            for run, held_out in zip(here, found, strict=True):
                run.log(held_out)
                if step % config.save_every == 0 or last:
                    run.save()
