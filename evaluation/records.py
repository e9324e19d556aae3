"""The records of an evaluation in its output directory: one JSON document per file, written whole or not at all.

    OUT/model.json                      the checkpoint and the protocol of everything here
    OUT/facts.json                      its size and speed
    OUT/TASK/settings.json              data and settings of a task
    OUT/TASK/learning-rate-LR.json      score of one learning rate on the part of train that is held out for choosing it
    OUT/TASK/examples.json              the examples of the development sets, in the order of the predictions
    OUT/TASK/seed-N.json                scores and predictions of one seed on the development sets
    OUT/TASK/seed-N                     the fine-tuned model of that seed, if it is kept
    OUT/results.json                    everything together: mean and standard deviation, GLUE score

A finished document is never made again, so an interrupted evaluation goes on after the last one.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import RunMismatchError
from ..runtime.durable import write_durably
from ..runtime.identity import ANOTHER_OUTPUT, require_same
from ..runtime.json_file import read_json
from ..runtime.options import typed_by_identity
from ..runtime.showing import Shown, Table, heading
from ..storage.documents.parse import parse_plain
from ..storage.documents.values import Natural, Number, Score
from .config import EvaluateConfig

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

MODEL, FACTS, RESULTS, SETTINGS, EXAMPLES = "model.json", "facts.json", "results.json", "settings.json", "examples.json"
TYPED = {**typed_by_identity(EvaluateConfig), "data": "--data", "digest": "--model"}
"""What decides the members of `model.json` and `settings.json`, as the user types it."""
Document = dict[str, Any]
"""A document whose members depend on the task, the model or the options."""
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelRecord:
    """What identifies the evaluation of a directory."""

    model: str | None = None
    """The checkpoint, as it was named."""
    protocol: str | None = None
    digest: str | None = None
    """The SHA-256 of the checkpoint's content."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelFacts:
    """Size and speed of one model on one device."""

    parameters: Natural
    parameters_without_embeddings: Natural
    """The number without the input embedding and without an output head that does not share its tensor."""
    gflops: Number
    """10^9 multiply-adds of one forward pass."""
    latency_ms: Number
    """The median for one example."""
    examples_per_second: Number
    """The throughput in batches of 32."""
    device: str


@dataclass(frozen=True, kw_only=True, slots=True)
class RateRecord:
    """How well one learning rate did on the part of train that is held out for choosing it."""

    learning_rate: Number
    metric: str
    score: Score | None
    """None if the loss was not finite."""
    held_out: Natural
    """The number of examples that were scored."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SeedRecord:
    """Scores and predictions of one seed on the development sets."""

    seed: Natural
    learning_rate: Number | None
    """None if the model was scored without fine-tuning."""
    seconds: Number
    """The time of fine-tuning and predictions."""
    scores: Mapping[str, Mapping[str, Score]]
    """The scores by development set and metric."""
    unreadable: Mapping[str, Natural]
    """The number of answers that were not a label, or of summaries that were empty, by development set."""
    predictions: Mapping[str, Any]
    """The answers by development set, in the order of `examples.json`."""
    texts: Mapping[str, Any] | None = None
    """The texts in which the answers were given, where they are not the answers themselves."""
    baseline: Mapping[str, Mapping[str, Score]] | None = None
    """The scores of the most frequent answer of train, for every example; None for summaries."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoreSpread:
    """A score over seeds."""

    mean: Score
    std: Number | None
    """The sample standard deviation; None for a single seed."""
    values: tuple[Score, ...]


Scores = Mapping[str, Mapping[str, ScoreSpread]]
"""Score spreads by result (a task, or one of its development sets) and metric."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskSummary:
    """How the seeds of a task were fine-tuned."""

    learning_rate: Number | None
    """None if the model was scored without fine-tuning."""
    seeds: tuple[Natural, ...]
    unreadable: Natural
    """The number of answers over all seeds that were not a label and counted as wrong, or of summaries that were empty."""


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class EvaluationResults(Shown):
    """All results of an evaluation. Model and facts are None if no task could start."""

    model: str | None = None
    """The checkpoint, as it was named."""
    protocol: str | None = None
    digest: str | None = None
    """The SHA-256 of the checkpoint's content."""
    facts: ModelFacts | None
    tasks: Mapping[str, TaskSummary]
    results: Scores
    glue_score: Score | None
    """None while one of its eight results is missing."""
    baselines: Mapping[str, Mapping[str, Score]] | None = None
    """The scores of the most frequent answer of train, by result and metric."""

    def as_json(self) -> Document:
        """Return the JSON object of `results.json`."""
        unknown = [name for name in ("model", "protocol", "digest") if getattr(self, name) is None]
        return {name: value for name, value in plain(self).items() if name not in unknown}

    def lines(self) -> Iterable[str]:
        """Return the lines that `miniend evaluate` prints."""
        from .report import describe

        return describe(self) if self.facts else [f"{self.model}: no results yet"]

    def html(self) -> Iterator[str]:
        """Yield the table for a notebook."""
        if self.facts:
            yield heading(f"{self.model}: {self.facts.parameters / 1e6:.1f} M parameters")
        rows = [
            (
                name,
                metric,
                f"{score.mean:.2f}",
                "-" if score.std is None else f"{score.std:.2f}",
                str(len(score.values)),
            )
            for name, metrics in self.results.items()
            for metric, score in metrics.items()
        ]
        rows += [] if self.glue_score is None else [("GLUE score", "mean of 8", f"{self.glue_score:.2f}", "", "")]
        yield Table(("result", "metric", "mean", "std", "seeds"), rows).html()


def read_as(path: Path, kind: type[T]) -> T | None:
    """Return a record as a dataclass, or None if the file is missing. Raise RunMismatchError that names every misfit."""
    document = read_record(path)
    if document is None:
        return None
    try:
        return parse_plain(kind, document)
    except ValueError as error:
        raise RunMismatchError(
            f"{path} is not a record of an evaluation: {error}; remove it, and it is made again"
        ) from error


def plain(record: "DataclassInstance") -> Document:
    """Return a record as JSON reads it."""
    document: Document = json.loads(json.dumps(asdict(record), allow_nan=False))
    return document


def read_record(path: Path) -> Document | None:
    """Return a document, or None if the file is missing. Raise RunMismatchError if the file is not a JSON object."""
    try:
        document = read_json(path)
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise RunMismatchError(f"{path} cannot be read ({error}); remove it, and it is made again") from error
    if not isinstance(document, dict):
        raise RunMismatchError(f"{path} is not a JSON object; remove it, and it is made again")
    return document


def write_record(path: Path, document: Mapping[str, Any]) -> Document:
    """Write a document and return it as it will be read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = json.dumps(document, indent=1, allow_nan=False) + "\n"
    write_durably(path, content.encode())
    read: Document = json.loads(content)
    return read


def claim(path: Path, ours: Mapping[str, Any], beside: Mapping[str, Any] | None = None) -> None:
    """Write what identifies this evaluation, or compare it with an earlier record. The members of `beside` are not compared.

    Raises RunMismatchError that names what differs.
    """
    theirs = read_record(path)
    if theirs is None:
        write_record(path, {**(beside or {}), **ours})
        return
    require_same(f"{path.parent} holds another evaluation", theirs, ours, ANOTHER_OUTPUT, typed=TYPED)
