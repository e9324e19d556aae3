"""An output directory summed up: means and standard deviations over seeds, the GLUE score, and lines for people."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from .records import FACTS, MODEL, RESULTS, Document, read_record, write_record
from .scores.scores import spread
from .tasks.glue import glue_score
from .tasks.known import TASKS
from .tasks.summaries import SummaryTask


def write_results(output: Path) -> Document:
    """Write `results.json` from the records of every task in the directory, and return it."""
    model, facts = read_record(output / MODEL) or {}, read_record(output / FACTS)
    tasks: dict[str, Document] = {}
    results: dict[str, Document] = {}
    for name in TASKS:
        seeds = _seeds(output / name)
        if seeds:
            tasks[name] = {
                "learning_rate": seeds[0]["learning_rate"],
                "seeds": [seed["seed"] for seed in seeds],
                "unreadable": sum(sum(seed["unreadable"].values()) for seed in seeds),
            }
            results |= _spreads(seeds)
    document = model | {"facts": facts, "tasks": tasks, "results": results, "glue_score": glue_score(results)}
    return write_record(output / RESULTS, document)


def describe(results: Mapping[str, Any]) -> list[str]:
    """The table of `results.json`: what the model costs, then a line per result and metric."""
    facts = results["facts"]
    lines = [
        f"{results['model']}, protocol {results['protocol']}{_beside(results['tasks'])}",
        f"{facts['parameters'] / 1e6:.1f} M parameters, {facts['parameters_without_embeddings'] / 1e6:.1f} M without embeddings; "
        f"{facts['gflops']:.3g} GFLOPs (one per multiply-add, 128 + 128 positions)",
        f"{facts['latency_ms']:.1f} ms for one example, {facts['examples_per_second']:.1f} examples/s ({facts['device']})",
        "",
        f"{'result':<16} {'metric':<9} {'mean':>6} {'std':>6}  seeds",
    ]
    for name, metrics in results["results"].items():
        for metric, found in metrics.items():
            deviation = "-" if found["std"] is None else f"{found['std']:.2f}"
            lines.append(f"{name:<16} {metric:<9} {found['mean']:>6.2f} {deviation:>6}  {len(found['values'])}")
    if results["glue_score"] is not None:
        lines.append(f"{'GLUE score':<16} {'mean of 8':<9} {results['glue_score']:>6.2f}")
    for name, task in results["tasks"].items():
        if task["unreadable"]:
            lines.append(f"{name}: {task['unreadable']} answers, over all seeds, were no label and counted as wrong")
    return lines


def _beside(names: Iterable[str]) -> str:
    """What has another protocol than the one that was asked for."""
    return "; summaries as text" if any(isinstance(TASKS[name], SummaryTask) for name in names) else ""


def _seeds(folder: Path) -> list[Document]:
    """The finished seeds of a task, by number."""
    found = [read_record(path) for path in folder.glob("seed-*.json")]
    return sorted((record for record in found if record), key=lambda record: int(record["seed"]))


def _spreads(seeds: list[Document]) -> dict[str, Document]:
    """Result -> metric -> mean, standard deviation and values over the seeds."""
    return {
        name: {metric: spread([seed["scores"][name][metric] for seed in seeds]) for metric in metrics}
        for name, metrics in seeds[0]["scores"].items()
    }
