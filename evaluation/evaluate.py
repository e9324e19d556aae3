"""Judging a checkpoint: for every task choose a learning rate on a part of train, fine-tune with every seed, score, sum up."""

from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import torch

from ..errors import ConfigurationError, TrainingError
from ..models.optimizer_settings import OPTIMISERS
from ..runtime.devices import choose_device
from ..runtime.progress import Say, duration
from .checkpoint import Checkpoint, load_checkpoint
from .facts import model_facts
from .protocols.protocol import Predictions
from .protocols.protocols import PROTOCOLS, protocol_class, protocol_for
from .records import (
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
    write_record,
)
from .report import write_results
from .tasks.examples import TaskData, draw, split_off
from .tasks.known import find_task
from .tasks.sources import load_task
from .tasks.task import Task
from .tuning.fine_tuning import FineTuning, fine_tune_and_predict

SEARCH_SEED = 0
ADAFACTOR_RATES = (1e-3, 3e-3, 1e-2)
"""Relative to each matrix's RMS. The T5 paper fine-tunes with the first."""
LEAST = {
    **dict.fromkeys(("seeds", "epochs", "batch_size", "train_examples", "eval_examples"), 1),
    **dict.fromkeys(("max_length", "max_summary_length"), 8),
}
"""Settings that are numbers -> the smallest that makes sense."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluateConfig:
    """What is judged, on what, and how.

    `learning_rates` are those to choose from, where there are none those of the protocol, or of Adafactor; a single one is not
    tried first.
    `protocol` is that of tasks with labels; summaries are always text. `max_length` (128 for labels and 512 for summaries unless
    given) and `max_summary_length` count tokens with EOS. `eval_examples` are drawn from each development set once.
    Raises ConfigurationError for what cannot work.
    """

    model: str
    tasks: tuple[str, ...]
    output: Path
    data: Path | None = None
    protocol: str = "head"
    seeds: int = 3
    epochs: int = 3
    optimizer: str = "adamw"
    learning_rates: tuple[float, ...] = ()
    batch_size: int = 32
    max_length: int | None = None
    max_summary_length: int = 128
    train_examples: int | None = None
    eval_examples: int | None = None
    bf16: bool = False
    device: str = "auto"

    def __post_init__(self) -> None:
        for name, least in LEAST.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise ConfigurationError(f"--{name.replace('_', '-')} should be at least {least}, not {value}")
        if self.optimizer not in OPTIMISERS:
            raise ConfigurationError(f"unknown optimizer {self.optimizer!r}; expected {' or '.join(OPTIMISERS)}")
        if self.protocol not in PROTOCOLS:
            raise ConfigurationError(f"unknown protocol {self.protocol!r}; expected {' or '.join(PROTOCOLS)}")
        if not self.tasks:
            raise ConfigurationError("name at least one --task")
        if not all(0 < rate < 1 for rate in self.learning_rates):
            raise ConfigurationError(f"learning rates lie between 0 and 1, not {self.learning_rates}")
        for task in self.tasks:
            find_task(task)

    def rates(self, task: Task[Any, Any]) -> tuple[float, ...]:
        """The learning rates that are tried for a task, the smallest first."""
        usual = protocol_class(task, self.protocol).learning_rates if self.optimizer == "adamw" else ADAFACTOR_RATES
        return tuple(sorted(set(self.learning_rates or usual)))


def evaluate(config: EvaluateConfig, say: Say) -> EvaluationResults:
    """Do what is missing in the output directory, and return what `results.json` then holds.

    Data are read before the model. Raises what loading raises, RunMismatchError where the directory holds another evaluation,
    TrainingError where no learning rate gives a finite loss.
    """
    device = _device(config.device)
    tasks = [find_task(name) for name in dict.fromkeys(config.tasks)]
    for task in tasks:
        task.require_libraries()
    data = {task.name: load_task(task, config.data, say) for task in tasks}
    checkpoint = load_checkpoint(config.model)
    identity = {"digest": checkpoint.digest(), "protocol": config.protocol}
    claim(config.output / MODEL, identity, beside={"model": config.model})
    if read_as(config.output / FACTS, ModelFacts) is None:
        write_record(config.output / FACTS, plain(model_facts(checkpoint.model, device)))
    for task in tasks:
        _TaskRun(config, task, checkpoint, data[task.name], device, say).finish()
        results = write_results(config.output)
    return results


def _device(text: str) -> torch.device:
    device = choose_device(text)
    if device.index:
        raise ConfigurationError(
            f"Trainer takes the first GPU that it sees; set CUDA_VISIBLE_DEVICES={device.index} instead"
        )
    return device


class _TaskRun:
    """One task's search and seeds."""

    def __init__(
        self,
        config: EvaluateConfig,
        task: Task[Any, Any],
        checkpoint: Checkpoint,
        data: TaskData[Any],
        device: torch.device,
        say: Say,
    ) -> None:
        self._config, self._task, self._device, self._say = config, task, device, say
        self._folder = config.output / task.name
        self._protocol = protocol_for(task, config.protocol, checkpoint, config.max_length, config.max_summary_length)
        self._rates = config.rates(task)
        self._digest = data.digest()
        self._train = draw(data.train, config.train_examples)
        self._development = {name: draw(part, config.eval_examples) for name, part in data.development.items()}

    def finish(self) -> None:
        """Make every record that is missing."""
        claim(self._folder / SETTINGS, self._settings())
        rate = self._choose_rate()
        for seed in range(self._config.seeds):
            path = self._folder / f"seed-{seed}.json"
            if read_as(path, SeedRecord) is None:
                record = self._run_seed(rate, seed)
                write_record(path, plain(record))
                self._say(f"{self._task.name}, seed {seed}: {self._shown(record)}, {duration(record.seconds)}")

    def _settings(self) -> Document:
        names = ("optimizer", "epochs", "batch_size", "train_examples", "eval_examples", "bf16")
        settings = {name: getattr(self._config, name) for name in names}
        return settings | self._protocol.settings | {"learning_rates": self._rates, "data": self._digest}

    def _choose_rate(self) -> float:
        """The rate with the best score on the held-out part of train, of equals the smallest; a single one is taken as it is."""
        rates = self._rates
        if len(rates) == 1:
            return rates[0]
        found = {rate: self._try_rate(rate).score for rate in rates}
        finite = {rate: value for rate, value in found.items() if value is not None}
        if not finite:
            raise TrainingError(
                f"{self._task.name}: the loss is finite at none of {rates}; give lower ones by --learning-rate"
            )
        return max(finite, key=lambda rate: finite[rate])

    def _try_rate(self, rate: float) -> RateRecord:
        """Return the record of a rate, and make it where it is missing."""
        path = self._folder / f"learning-rate-{rate:g}.json"
        if (record := read_as(path, RateRecord)) is not None:
            return record
        rest, held_out = split_off(self._train, self._task.held_out_most)
        metric = self._task.metrics[0]
        try:
            found = self._fine_tune(rest, {"held_out": held_out}, rate, SEARCH_SEED)["held_out"]
            value = self._task.scores(held_out, found.answers)[metric]
        except TrainingError:
            value = None
        shown = "not finite" if value is None else f"{metric} {value:.1f}"
        self._say(f"{self._task.name}, learning rate {rate:g}: {shown} on {len(held_out)} examples of train")
        made = RateRecord(learning_rate=rate, metric=metric, score=value, held_out=len(held_out))
        write_record(path, plain(made))
        return made

    def _run_seed(self, rate: float, seed: int) -> SeedRecord:
        started = perf_counter()
        found = self._fine_tune(self._train, self._development, rate, seed)
        scores = {name: self._task.scores(part, found[name].answers) for name, part in self._development.items()}
        return SeedRecord(
            seed=seed,
            learning_rate=rate,
            seconds=perf_counter() - started,
            scores=scores,
            unreadable={name: one.unreadable for name, one in found.items()},
            predictions={name: one.answers for name, one in found.items()},
        )

    def _fine_tune(
        self, train: list[Any], development: dict[str, list[Any]], rate: float, seed: int
    ) -> dict[str, Predictions[Any]]:
        settings = FineTuning(
            optimizer=self._config.optimizer,
            learning_rate=rate,
            epochs=self._config.epochs,
            batch_size=self._config.batch_size,
            seed=seed,
            bf16=self._config.bf16,
            device=self._device,
        )
        title = f"{self._task.name}, learning rate {rate:g}, seed {seed}"
        return fine_tune_and_predict(self._protocol, train, development, settings, title)

    def _shown(self, record: SeedRecord) -> str:
        metric = self._task.metrics[0]
        return ", ".join(f"{name} {metric} {scores[metric]:.1f}" for name, scores in record.scores.items())
