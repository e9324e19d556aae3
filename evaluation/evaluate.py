"""Evaluate a checkpoint: for every task choose a learning rate on a part of train, fine-tune with every seed, score, sum up."""

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import torch

from ..errors import ConfigurationError, RunMismatchError, TrainingError
from ..models.lent import true_name
from ..runtime.claims import sole_writer
from ..runtime.cores import SharedCores
from ..runtime.devices import choose_device
from ..runtime.launcher import not_used, options_decide, require_one_process
from ..runtime.links import require_no_links
from ..runtime.options import identity_of, marked
from ..runtime.progress import Log, duration
from .checkpoint import Checkpoint, load_checkpoint
from .config import BY_TASK, EvaluateConfig
from .facts import model_facts
from .kept_model import is_kept, keep_model
from .page import write_page
from .protocols.protocol import Predictions
from .protocols.protocols import protocol_for
from .recorded import keep_record
from .records import (
    EXAMPLES,
    FACTS,
    MODEL,
    SETTINGS,
    Document,
    EvaluationResults,
    ModelFacts,
    RateRecord,
    SeedRecord,
    claim,
    plain,
    read_as,
    read_record,
    write_record,
)
from .report import write_results
from .tasks.examples import TaskData, draw, split_off
from .tasks.known import find_task
from .tasks.said import describe_data
from .tasks.sources import load_task
from .tasks.task import Task
from .tuning.fine_tuning import FineTuning, fine_tune_and_predict, predict

SEARCH_SEED = 0


def evaluate(config: EvaluateConfig, log: Log, nested: bool = False) -> EvaluationResults:
    """Do what is missing in the output directory, and return what `results.json` then holds.

    Nested in a command with a report and bars of its own, it neither writes a report nor shows bars. We read the data before the
    model. Raises what loading raises, ConfigurationError in one of several processes of a launcher, RunMismatchError if the
    directory holds another evaluation, OutputBusyError while another process evaluates there, and TrainingError if no learning
    rate gives a finite loss.
    """
    require_one_process("miniend evaluate")
    with sole_writer(config.output), options_decide(ranks=False) as missed:
        if missed:
            log(not_used(missed))
        results = _evaluate(config, log, nested)
        if not nested:
            log(f"report: {write_page(config.output, results, log)}")
        return results


def _evaluate(config: EvaluateConfig, log: Log, nested: bool) -> EvaluationResults:
    device = _device(config.device)
    tasks = [find_task(name) for name in dict.fromkeys(config.tasks)]
    for task in tasks:
        task.require_libraries()
    data = {task.name: load_task(task, config.data, log) for task in tasks}
    for task in tasks:
        log(describe_data(task, data[task.name]))
    for name, loaded in data.items():
        for line in loaded.doubts():
            log(f"{name}: {line}")
    checkpoint = load_checkpoint(config.model)
    identity = {"digest": checkpoint.digest(), "protocol": config.protocol}
    require_no_links(config.output)
    claim(config.output / MODEL, identity, beside={"model": true_name(config.model)})
    keep_record(config)
    if read_as(config.output / FACTS, ModelFacts) is None:
        write_record(config.output / FACTS, plain(model_facts(checkpoint.model, device)))
    for task in tasks:
        _TaskRun(config, task, checkpoint, data[task.name], device, log, not nested).finish()
        results = write_results(config.output)
    return results


def _device(text: str) -> torch.device:
    device = choose_device(text)
    if device.index:
        raise ConfigurationError(
            f"--device {text}: Trainer uses the first GPU that it sees; set CUDA_VISIBLE_DEVICES={device.index} instead"
        )
    return device


class _TaskRun:
    """The search and the seeds of one task."""

    def __init__(
        self,
        config: EvaluateConfig,
        task: Task[Any, Any],
        checkpoint: Checkpoint,
        data: TaskData[Any],
        device: torch.device,
        log: Log,
        bars: bool,
    ) -> None:
        self._bars = bars
        self._config, self._task, self._device, self._log = config, task, device, log
        self._checkpoint, self._folder = checkpoint, config.output / task.name
        self._cores = SharedCores(log, device)
        self._protocol = protocol_for(task, config.protocol, checkpoint, config.max_length, config.max_summary_length)
        self._rates = config.rates(task)
        self._digest = data.digest()
        self._train = draw(data.train, config.train_examples)
        self._development = {name: draw(part, config.eval_examples) for name, part in data.development.items()}

    def finish(self) -> None:
        """Make every missing record."""
        claim(self._folder / SETTINGS, self._settings())
        if read_record(self._folder / EXAMPLES) is None:
            written = {name: [asdict(example) for example in part] for name, part in self._development.items()}
            write_record(self._folder / EXAMPLES, written)
        rate = self._choose_rate() if self._config.training else None
        for seed in range(self._config.runs):
            path, model = self._folder / f"seed-{seed}.json", self._folder / f"seed-{seed}"
            wanted = model if self._config.keep_model and not is_kept(model) else None
            if read_as(path, SeedRecord) is None or wanted:
                record = self._run_seed(rate, seed, wanted)
                write_record(path, plain(record))
                what = f"seed {seed}" if self._config.training else "without fine-tuning"
                self._log(f"{self._task.name}, {what}: {self._shown(record)}, {duration(record.seconds)}")
                if wanted:
                    self._log(f"model: {wanted}")

    def _settings(self) -> Document:
        settings = identity_of(self._config, without=marked(EvaluateConfig, BY_TASK))
        return settings | self._protocol.settings | {"learning_rates": self._rates, "data": self._digest}

    def _choose_rate(self) -> float:
        """Return the rate with the best score on the held-out part of train, the smallest of equals; do not try a single rate."""
        rates = self._rates
        if len(rates) == 1:
            return rates[0]
        scores = {rate: self._try_rate(rate).score for rate in rates}
        finite = {rate: score for rate, score in scores.items() if score is not None}
        if not finite:
            raise TrainingError(
                f"{self._task.name}: the loss is finite at none of {rates}; give lower ones with --learning-rate"
            )
        return max(finite, key=lambda rate: finite[rate])

    def _try_rate(self, rate: float) -> RateRecord:
        """Return the record of a rate, and make it if it is missing."""
        path = self._folder / f"learning-rate-{rate:g}.json"
        if (record := read_as(path, RateRecord)) is not None:
            if (record.learning_rate, record.metric) != (rate, self._task.metrics[0]):
                raise RunMismatchError(f"{path} is of another learning rate or metric; remove it, and it is made again")
            return record
        rest, held_out = split_off(self._train, self._task.held_out_most)
        metric = self._task.metrics[0]
        try:
            tuning = self._tuning(rate, SEARCH_SEED)
            predictions = self._predictions(rest, {"held_out": held_out}, tuning)["held_out"]
            value = self._task.scores(held_out, predictions.answers)[metric]
        except TrainingError:
            value = None
        shown = "not finite" if value is None else f"{metric} {value:.1f}"
        self._log(f"{self._task.name}, learning rate {rate:g}: {shown} on {len(held_out):,} examples of train")
        made = RateRecord(learning_rate=rate, metric=metric, score=value, held_out=len(held_out))
        write_record(path, plain(made))
        return made

    def _run_seed(self, rate: float | None, seed: int, folder: Path | None) -> SeedRecord:
        """Return the record of a seed; with `folder`, keep the fine-tuned model there."""
        started = perf_counter()
        keep = None if folder is None else partial(keep_model, folder=folder, checkpoint=self._checkpoint)
        predictions = self._predictions(self._train, self._development, self._tuning(rate, seed), keep)
        scores = {name: self._task.scores(part, predictions[name].answers) for name, part in self._development.items()}
        return SeedRecord(
            seed=seed,
            learning_rate=rate,
            seconds=perf_counter() - started,
            scores=scores,
            unreadable={name: one.unreadable for name, one in predictions.items()},
            predictions={name: one.answers for name, one in predictions.items()},
            texts={name: one.texts for name, one in predictions.items() if one.texts is not None} or None,
            baseline=self._baseline(),
        )

    def _baseline(self) -> dict[str, dict[str, float]] | None:
        """Return the scores of the most frequent answer by development set."""
        found = {name: self._task.baseline(self._train, part) for name, part in self._development.items()}
        return {name: scores for name, scores in found.items() if scores} or None

    def _tuning(self, rate: float | None, seed: int) -> FineTuning:
        return FineTuning(
            optimizer=self._config.optimizer,
            learning_rate=rate,
            epochs=self._config.epochs,
            batch_size=self._config.batch_size,
            seed=seed,
            bf16=self._config.bf16,
            device=self._device,
            bars=self._bars,
        )

    def _predictions(
        self,
        train: list[Any],
        development: dict[str, list[Any]],
        tuning: FineTuning,
        keep: Callable[[Any], object] | None = None,
    ) -> dict[str, Predictions[Any]]:
        """Return the answers by development set of the model after its fine-tuning, which `keep` is called with."""
        if tuning.learning_rate is None:
            predictions = predict(self._protocol, development, tuning, self._task.name)
        else:
            title = f"{self._task.name}, rate {tuning.learning_rate:g}, seed {tuning.seed}"
            predictions = fine_tune_and_predict(self._protocol, train, development, tuning, title, keep)
        self._cores.look()
        return predictions

    def _shown(self, record: SeedRecord) -> str:
        metric = self._task.metrics[0]
        return ", ".join(f"{name} {metric} {scores[metric]:.1f}" for name, scores in record.scores.items())
