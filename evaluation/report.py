"""Sum up an output directory: means and standard deviations over seeds, the GLUE score, and lines for people."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from ..errors import RunMismatchError
from ..runtime.listing import entries
from .records import (
    FACTS,
    MODEL,
    RESULTS,
    EvaluationResults,
    ModelFacts,
    ModelRecord,
    Scores,
    ScoreSpread,
    SeedRecord,
    TaskSummary,
    read_as,
    write_record,
)
from .scores.scores import spread
from .tasks.glue import glue_score
from .tasks.known import TASKS
from .tasks.summaries import SummaryTask


def write_results(output: Path) -> EvaluationResults:
    """Write `results.json` from the records of every task in the directory, and return what it holds."""
    model, facts = read_as(output / MODEL, ModelRecord) or ModelRecord(), read_as(output / FACTS, ModelFacts)
    tasks: dict[str, TaskSummary] = {}
    results: dict[str, Mapping[str, ScoreSpread]] = {}
    baselines: dict[str, Mapping[str, float]] = {}
    for name in TASKS:
        if seeds := _seeds(output / name):
            tasks[name] = TaskSummary(
                learning_rate=seeds[0].learning_rate,
                seeds=tuple(seed.seed for seed in seeds),
                unreadable=sum(sum(seed.unreadable.values()) for seed in seeds),
            )
            results |= _spreads(seeds)
            baselines |= seeds[0].baseline or {}
    summary = EvaluationResults(
        model=model.model,
        protocol=model.protocol,
        digest=model.digest,
        facts=facts,
        tasks=tasks,
        results=results,
        glue_score=glue_score(results),
        baselines=baselines or None,
    )
    write_record(output / RESULTS, summary.as_json())
    return summary


def describe(results: EvaluationResults) -> list[str]:
    """Return the table of `results.json`: what the model costs, then a line per result and metric."""
    facts = results.facts
    assert facts is not None
    lines = [
        f"{results.model}, protocol {results.protocol}{_beside(results.tasks)}",
        f"{facts.parameters / 1e6:.1f} M parameters, {facts.parameters_without_embeddings / 1e6:.1f} M without embeddings; "
        f"{facts.gflops:.3g} GFLOPs (one per multiply-add, 128 + 128 positions)",
        f"{facts.latency_ms:.1f} ms for one example, {facts.examples_per_second:.1f} examples/s ({facts.device})",
        "",
        f"{'result':<16} {'metric':<9} {'mean':>6} {'std':>6}  seeds  majority",
    ]
    for name, metrics in results.results.items():
        for metric, score in metrics.items():
            deviation = "-" if score.std is None else f"{score.std:.2f}"
            majority = (results.baselines or {}).get(name, {}).get(metric)
            beside = "" if majority is None else f"      {majority:>6.2f}"
            lines.append(f"{name:<16} {metric:<9} {score.mean:>6.2f} {deviation:>6}  {len(score.values)}{beside}")
    if results.glue_score is not None:
        lines.append(f"{'GLUE score':<16} {'mean of 8':<9} {results.glue_score:>6.2f}")
    for name, task in results.tasks.items():
        if task.unreadable:
            summary = isinstance(TASKS[name], SummaryTask)
            kind, what = ("summaries", "empty") if summary else ("answers", "not a label and counted as wrong")
            lines.append(f"{name}: {task.unreadable} {kind} over all seeds were {what}")
    return lines


def _beside(names: Iterable[str]) -> str:
    """Return the words for tasks that do not use the protocol that was asked for."""
    return "; summaries as text" if any(isinstance(TASKS[name], SummaryTask) for name in names) else ""


def _seeds(folder: Path) -> list[SeedRecord]:
    """Return the finished seeds of a task, by number.

    Raises RunMismatchError for a record that is not of the seed in its name, or has other scores than the first.
    """
    found = {path: read_as(path, SeedRecord) for path in entries(folder, "seed-", ".json")}
    seeds = sorted((record for record in found.values() if record), key=lambda record: record.seed)
    for path, record in found.items():
        if record and (path.name != f"seed-{record.seed}.json" or _names(record) != _names(seeds[0])):
            raise RunMismatchError(
                f"{path} is of another seed or has other scores than the first; remove it, and it is made again"
            )
    return seeds


def _names(record: SeedRecord) -> dict[str, list[str]]:
    """Return the names of a record's scores, by development set."""
    return {name: sorted(metrics) for name, metrics in record.scores.items()}


def _spreads(seeds: list[SeedRecord]) -> Scores:
    return {
        name: {metric: spread([seed.scores[name][metric] for seed in seeds]) for metric in metrics}
        for name, metrics in seeds[0].scores.items()
    }
