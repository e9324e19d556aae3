"""The report of an evaluation: what its seeds show, a picture, the facts of the run, the scores, and a few answers."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ..errors import ConfigurationError, shortened
from ..runtime.listing import entries
from ..runtime.progress import Log
from ..runtime.report.blocks import Block, Heading, Lead, Listing, Paragraph, Picture, Table
from ..runtime.report.facts import run_facts
from ..runtime.report.writing import write_report
from .records import EvaluationResults, ScoreSpread, SeedRecord, read_as
from .samples import task_samples
from .scores.differences import Difference, interval_text, paired_difference
from .tasks.known import TASKS

PICTURE = "scores.png"
LONGEST = 700
"""The most characters of a text."""
FREQUENT = "the most frequent answer"
UNTRAINED = "none: scored as it is, without fine-tuning"
Gains = Mapping[str, Difference]
"""By result, how much its first metric is above the score of the most frequent answer of train."""


def write_page(output: Path, results: EvaluationResults, log: Log) -> Path:
    """Write report.md and report.html into an evaluation's directory, and return the path of the latter."""
    pictures = _pictures(output, results, log)
    return write_report(output, page(output, results, pictures))


def page(output: Path, results: EvaluationResults, pictures: Sequence[Path]) -> Iterator[Block]:
    """Yield the whole report."""
    gains = gains_of(results)
    yield Heading(f"Evaluation of {results.model}", 1)
    yield lead(results, gains)
    for path in pictures:
        yield Picture(path, f"First metric of each result; bars are one standard deviation, diamonds are {FREQUENT}")
    yield Heading("The run")
    yield Listing([*run_facts(_seconds(output, results), {"this directory": output}), *_model_facts(results)])
    yield Heading("Scores")
    yield _table(results, gains)
    yield Paragraph(
        "Mean and standard deviation over seeds of fine-tuning. The last column is the mean distance to always giving "
        f"{FREQUENT} of train, with its 95 % interval by Student's t. If the interval contains 0, these seeds do not show a "
        "difference. The seeds share one model, so they do not say how another training of it would do."
    )
    yield from _samples(output, results)


def lead(results: EvaluationResults, gains: Gains) -> Lead:
    """Return what the seeds show of the model, by the first metric of each result."""
    better = [name for name, gain in gains.items() if gain.is_shown and gain.mean > 0]
    unclear = [name for name in gains if name not in better]
    if results.tasks and all(task.learning_rate is None for task in results.tasks.values()):
        return Lead(f"{results.model} is scored as it is, without fine-tuning.", [*_reasons(results, gains)])
    seeds = min((len(first(metrics)[1].values) for metrics in results.results.values()), default=0)
    return Lead(_sentence(str(results.model), seeds, better, unclear), [*_reasons(results, gains)])


def _sentence(model: str, seeds: int, better: Sequence[str], unclear: Sequence[str]) -> str:
    if seeds == 0:
        return "Nothing is scored yet."
    if seeds == 1:
        return "One seed decides nothing. Give --seeds 3 or more, and start the same command again."
    if not better and not unclear:
        return f"{model} is scored; its tasks do not have a trivial answer to compare with."
    if not better:
        return f"These seeds do not show that {model} is better than {FREQUENT}."
    end = f" On {', '.join(unclear)} these seeds do not show it." if unclear else ""
    return f"{model} is better than {FREQUENT} on {', '.join(better)}.{end}"


def _reasons(results: EvaluationResults, gains: Gains) -> Iterator[str]:
    for name, metrics in results.results.items():
        metric, score = first(metrics)
        beside = f"; difference to {FREQUENT}: {interval_text(gains[name], 1)}" if name in gains else ""
        yield f"{name}: {metric} {_spread(score)}{beside}."
    if results.glue_score is not None:
        yield f"GLUE score, the mean of the paper's eight numbers: {results.glue_score:.1f}."


def first(metrics: Mapping[str, ScoreSpread]) -> tuple[str, ScoreSpread]:
    """Return the metric that tables show, with its score."""
    return next(iter(metrics.items()))


def gains_of(results: EvaluationResults) -> dict[str, Difference]:
    """Return the distances to the most frequent answer, for the results that have one."""
    gains = {}
    for name, metrics in results.results.items():
        metric, score = first(metrics)
        frequent = (results.baselines or {}).get(name, {}).get(metric)
        if frequent is not None:
            gains[name] = paired_difference(score.values, [frequent] * len(score.values))
    return gains


def _table(results: EvaluationResults, gains: Gains) -> Table:
    rows = []
    for name, metrics in results.results.items():
        for number, (metric, score) in enumerate(metrics.items()):
            frequent = (results.baselines or {}).get(name, {}).get(metric)
            gain = interval_text(gains[name], 1) if number == 0 and name in gains else "-"
            cells = [f"{name} {metric}", _spread(score), str(len(score.values))]
            rows.append([*cells, "-" if frequent is None else f"{frequent:.1f}", gain])
    return Table(["result", "score", "seeds", FREQUENT, "above it"], rows)


def _spread(score: ScoreSpread) -> str:
    return f"{score.mean:.1f}" + ("" if score.std is None else f" ± {score.std:.1f}")


def _seconds(output: Path, results: EvaluationResults) -> dict[str, float]:
    """Return the seconds of the seeds' fine-tunings by task; the search for a learning rate is not recorded."""
    records = {
        name: [read_as(path, SeedRecord) for path in entries(output / name, "seed-", ".json")] for name in results.tasks
    }
    return {name: sum(one.seconds for one in some if one) for name, some in records.items()}


def _model_facts(results: EvaluationResults) -> Iterator[tuple[str, str]]:
    if facts := results.facts:
        yield (
            "parameters",
            f"{facts.parameters / 1e6:.2f} M, {facts.parameters_without_embeddings / 1e6:.2f} M without embeddings",
        )
        yield (
            "speed",
            f"{facts.gflops:.3g} GFLOPs, {facts.latency_ms:.1f} ms for one example, {facts.examples_per_second:.0f} "
            f"examples/s ({facts.device})",
        )
    yield "protocol", str(results.protocol)
    for name, task in results.tasks.items():
        rate = task.learning_rate
        yield f"learning rate, {name}", UNTRAINED if rate is None else f"{rate:g}"


def _samples(output: Path, results: EvaluationResults) -> Iterator[Block]:
    shown = [(name, sample) for name in results.tasks for sample in task_samples(output, TASKS[name])]
    if shown:
        yield Heading("A few answers of the first seed")
    for name, one in shown:
        entries = [(f"{name}: input", one.text), ("target", one.target), ("answer", one.answer)]
        yield Listing([(what, shortened(text, LONGEST) or "(empty)") for what, text in entries], literal=True)


def _pictures(output: Path, results: EvaluationResults, log: Log) -> list[Path]:
    """Draw the scores; without matplotlib say so and return none."""
    if not results.results:
        return []
    try:
        from ..runtime.picture import BLUE, ORANGE, new_figure, save
    except ConfigurationError as error:
        log(f"no pictures: {error}")
        return []
    figure = new_figure(5.6, 1.3 + 0.42 * len(results.results))
    axes = figure.subplots()
    for height, (name, metrics) in enumerate(results.results.items()):
        metric, score = first(metrics)
        axes.barh(height, score.mean, height=0.6, color=BLUE, xerr=score.std, capsize=3)
        axes.text(score.mean + (score.std or 0.0), height, f"  {score.mean:.1f}", va="center", fontsize=8)
        frequent = (results.baselines or {}).get(name, {}).get(metric)
        if frequent is not None:
            axes.plot([frequent], [height], "D", color=ORANGE, markeredgecolor="white", markersize=7)
    labels = [f"{name}\n{first(metrics)[0]}" for name, metrics in results.results.items()]
    axes.set_yticks(range(len(labels)), labels, fontsize=8)
    axes.invert_yaxis()
    axes.set_xlim(right=1.12 * max(axes.get_xlim()[1], 1.0))
    axes.spines[["top", "right"]].set_visible(False)
    return [save(figure, output / PICTURE)]
