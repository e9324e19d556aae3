"""`miniend train-student`: turn students, objectives and a cache into Hugging Face model directories.

Students that train together see the same batches, each read and decoded once. They are otherwise independent: each ends with
the weights that it would have alone. A checkpoint holds everything that a resumed run needs: parameters, optimizer state and
step. The order of examples follows from the step.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from time import perf_counter

import torch

from ..errors import ConfigurationError, ObjectStoreError, TrainingError
from ..models.optimizers import learning_rate_at, set_learning_rate
from ..runtime.cores import SharedCores
from ..runtime.launcher import not_used
from ..runtime.printing import Detail, Result, tell
from ..runtime.progress import Log, duration, progress_bar, silent, waiting
from ..runtime.records import write_record_file
from ..runtime.stopping import Terminated, held_back
from .config import TrainConfig
from .distillation import Distillation
from .dry_run.dry_run import DryRun, describe, dry_run
from .reading.batch import Batch
from .reading.loader import Prefetcher, Share, steps
from .run.directory import is_finished
from .run.gradient_norms import gradient_norms
from .run.growth import scheduled_steps
from .run.loss_lines import current_losses, parts_text, validation_text
from .run.metrics import last_validation
from .run.one_pass import claim_outputs, require_one_pass, require_same_steps, set_up_all, sole_writers
from .run.processes import Processes, Stopped
from .run.setup import Setup
from .run.student_run import StudentRun
from .run.validation import evaluate

Record = tuple[Path, bytes]
"""A file, and its content."""


def train_student(config: TrainConfig, log: Log = tell) -> dict[str, float]:
    """Stage two: train one student from a cache, write it to `config.output`, and return its validation losses in nats.

    If it is run again, it continues from the latest checkpoint, with the shards that were published when the run started. A
    finished run is left as it is, unless it is to have more steps now; `run/growth.py` says how it is continued.
    """
    return train_students([config], log)[0]


def train_students(
    configs: Sequence[TrainConfig], log: Log = tell, grow: bool = True, record: Record | None = None
) -> list[dict[str, float]]:
    """Train several students in one pass over the cache and return their validation losses in nats.

    With `grow`, finished students that are to have more steps are continued. `record` is a file for the options of the pass.
    Each may be resumed, together with the others or alone. Raises ConfigurationError if settings differ that one pass has in
    common, or if two students have the same output, and OutputBusyError while another process trains into one of the outputs.
    """
    processes = Processes(configs[0].device, configs[0].tracker)
    log = log if processes.main else silent
    if processes.not_used:
        log(not_used(processes.not_used))
    try:
        require_one_pass(configs, processes.world)
        with sole_writers(configs, processes):
            _train_unfinished(configs, processes, log, grow, record)
        return [last_validation(config.output) for config in configs]
    finally:
        processes.close()


def _train_unfinished(
    configs: Sequence[TrainConfig], processes: Processes, log: Log, grow: bool, record: Record | None
) -> None:
    begun = perf_counter()
    with waiting("setting up", shown=processes.main):
        setups = set_up_all(configs, processes, log)
    log(Detail(f"device {processes.device}, processes: {processes.world}, threads of torch: {torch.get_num_threads()}"))
    ready = perf_counter()
    claim_outputs(setups, processes, log, grow)
    if record is not None and processes.main:
        write_record_file(*record)
    unfinished = []
    for setup in setups:
        if is_finished(setup.config.output):
            log(Result(f"{setup.config.output} is finished: {setup.config.steps} steps"))
        else:
            unfinished.append(setup)
    del setups  # frees the finished students
    if unfinished:
        _train(unfinished, processes, log)
    log(Detail(f"times: setting up {duration(ready - begun)}, training {duration(perf_counter() - ready)}"))


def dry_run_students(configs: Sequence[TrainConfig], log: Log = tell) -> list[DryRun]:
    """Say what `train_students` would need in computation, memory and time, from a few steps of each student.

    Outputs are not touched. We only read there which part of the cache a run started with, and whether it is finished.
    """
    processes = Processes(configs[0].device)
    try:
        if processes.world > 1:
            raise ConfigurationError("--dry-run speaks of one process; start it without torchrun or accelerate launch")
        require_one_pass(configs, processes.world)
        runs = []
        for setup in set_up_all(configs, processes, log):
            if len(configs) > 1:
                log(Result(f"{setup.config.output.name}:"))
            with waiting("dry run"):
                runs.append(dry_run(setup, partial(_lone_step, processes)))
            for line in describe(runs[-1]):
                log(Result(line))
        return runs
    finally:
        processes.close()


def _lone_step(processes: Processes, setup: Setup, batches: Sequence[Batch]) -> None:
    """Make one step of a fresh run."""
    train_step([StudentRun(setup, processes)], batches, processes)


def _train(setups: Sequence[Setup], processes: Processes, log: Log) -> None:
    """Train every student from its current step to the end.

    A signal waits for the end of a step, and then for a checkpoint. An error before that is raised in its place.
    """
    prefixes = [f"{setup.config.output.name}/" if len(setups) > 1 else "" for setup in setups]
    runs = [StudentRun(setup, processes, prefix) for setup, prefix in zip(setups, prefixes, strict=True)]
    processes.start_trackers(
        {
            f"{prefix}{key}": str(value)
            for setup, prefix in zip(setups, prefixes, strict=True)
            for key, value in asdict(setup.config).items()
        },
        [setup.config.output for setup in setups],
    )
    with ExitStack() as stack:
        for run in runs:
            run.restore(log)
            stack.callback(run.close)
        require_same_steps([run.state.step for run in runs], processes)
        with held_back(unless=Exception):
            _loop(runs, processes, log)
        for run in runs:
            run.finish(log, named=len(runs) > 1)
        processes.wait()


def _save(runs: Sequence[StudentRun], processes: Processes) -> None:
    for run in runs:
        run.save()
    processes.wait()


def _loop(runs: Sequence[StudentRun], processes: Processes, log: Log) -> None:
    config, feed = runs[0].setup.config, runs[0].setup.feed
    first = min(run.state.step for run in runs)
    share = Share(processes.rank, processes.world, config.gradient_accumulation_steps)
    cores = SharedCores(log, processes.device)
    ahead = Prefetcher(steps(feed.training, config.batch_size, config.seed, first, share))
    try:
        _end_step([run for run in runs if run.state.unlogged is not None], processes, log)
        with progress_bar("train", config.steps, "step", initial=first, shown=processes.main) as bar:
            for step in range(first, config.steps):
                processes.stop_if_told()
                due = [run for run in runs if run.state.step == step]
                with paused([run for run in runs if run not in due]):
                    train_step(due, _next(ahead, due), processes)
                bar.update(facts=current_losses({run.name: run.state for run in due}))
                _end_step(due, processes, log)
                cores.look()
    except Stopped:  # save before waiting for the loader's threads, because a machine goes away soon after its signal
        _save(runs, processes)
        raise Terminated from None
    except (KeyboardInterrupt, ObjectStoreError):  # a store hung when a signal came, or does not answer any more
        if processes.world == 1:  # else the others are not here to wait for
            _save(runs, processes)
        raise
    except TrainingError:
        _save([run for run in runs if not run.failed], processes)
        raise
    finally:
        ahead.close()


@contextmanager
def paused(runs: Sequence[StudentRun]) -> Iterator[None]:
    """Pause the clocks of these runs inside the block."""
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
    """Make one optimizer step of every run, over this process's micro-batches of the step.

    Raises TrainingError, before the update, if a loss or its gradient is not finite.
    """
    if not runs:
        return
    feed = runs[0].setup.feed
    counts, tokens = _count(runs, batches, processes)  # the divisors of the sums, over the whole step and all processes

    for number, batch in enumerate(batches, start=1):
        here = batch.to(feed.device)
        teacher = feed.decoder.decode(here)
        for run, of in zip(runs, counts, strict=True):
            candidates = run.setup.distillation.candidates_of(run.state.step)  # a single one of a student
            for candidate in candidates:
                # DDP exchanges gradients in the last backward of a step
                exchanging = number == len(batches) and candidate == candidates[-1]
                with processes.without_exchange([] if exchanging else [run.module]):
                    with run.autocast():
                        sums = run.module(here, teacher, candidate)  # forward and losses
                    # the mean over candidates, and times the processes, since DDP averages gradients
                    loss = run.setup.distillation.total(sums, of) * processes.world / len(candidates)
                    loss.backward()
                    run.note(sums, loss, here, 1 / len(candidates))

    for run, of in zip(runs, counts, strict=True):
        config, distillation, optimizer = run.setup.config, run.setup.distillation, run.setup.optimizer
        step = run.state.step + 1
        step_sums = run.step_sums()
        terms = distillation.term_means(step_sums, of)
        value = sum(distillation.weights[term] * mean for term, mean in terms.items())
        by_part = gradient_norms(distillation) if config.is_logged(step) else {}  # before clipping
        norm = clip_gradient(distillation, config.max_grad_norm)
        run.require_finite(value, norm, terms)

        steps = scheduled_steps(run.stages, step, config.steps)
        rate = learning_rate_at(step, steps, config.peak_learning_rate, config.warmup, config.schedule)
        rate = set_learning_rate(optimizer, rate, step)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

        parts = distillation.part_means(step_sums, of)
        metrics = {"loss": value, **terms, **parts, "gradient_norm": norm, **by_part, "learning_rate": rate}
        run.advance(value, tokens, metrics if config.is_logged(step) else {})


def clip_gradient(distillation: Distillation, limit: float) -> float:
    """Scale the gradient down to a global norm of at most `limit`, 0 for no limit; return the norm before."""
    parameters = [parameter for _, parameter in distillation.trained() if parameter.grad is not None]
    return float(torch.nn.utils.clip_grad_norm_(parameters, limit if limit > 0 else math.inf))


def _count(
    runs: Sequence[StudentRun], batches: Sequence[Batch], processes: Processes
) -> tuple[list[dict[str, float]], int]:
    """Return by run the number that each part of its loss is divided by, and the number of the step's tokens.

    Both are over the whole step and all processes.
    """
    own = [[run.counts(batch) for batch in batches] for run in runs]
    flat = [sum(part) for of in own for part in zip(*of, strict=True)]
    *everywhere, tokens = processes.sum([*flat, sum(batch.tokens for batch in batches)])
    values = iter(everywhere)
    counts = [{part.name: next(values) for part in run.setup.distillation.parts} for run in runs]
    return counts, int(tokens)


def _end_step(runs: Sequence[StudentRun], processes: Processes, log: Log) -> None:
    """Evaluate, log and save the runs for which that is due. Raises Stopped between two batches of the evaluation."""
    with paused(runs):
        for step in sorted({run.state.step for run in runs}):
            here = [run for run in runs if run.state.step == step]
            config = here[0].setup.config
            last = step == config.steps
            due = step % config.eval_every == 0 or last
            losses = evaluate([run.setup for run in here], processes) if due else [None] * len(here)
            saved = step % config.save_every == 0 or last
            for run, validation in zip(here, losses, strict=True):
                best = run.log(validation)
                if validation:
                    name = f"{run.name}, " if len(runs) > 1 else ""
                    log(f"{name}step {step:,}: {validation_text(validation, best)}")
                    for line in parts_text(validation):
                        log(f"  {line}")
                    for warning in run.newly_limited(validation):
                        log(f"  warning: {warning}")
                if saved:
                    run.save()
            if saved:
                log(f"step {step:,}: saved checkpoint{'s' if len(here) > 1 else ''}")
