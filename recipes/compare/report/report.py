"""The report of a comparison: tables and pictures of what came out so far, in words that claim no more than the seeds show."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ....evaluation.records import ModelFacts
from ....evaluation.tasks.known import find_task
from ..file.settings import Comparison
from .blocks import Block, Heading, Paragraph, Picture, Table
from .differences import Difference
from .gradients import PARTS, gradient_rows, pilot_outcomes
from .introduction import what_is_compared
from .results import CONTINUED, GLUE, HELD_OUT, SCORE, Judged, Outcome, Results, mean_and_spread

Documents = Mapping[str, Any]


def report_blocks(
    comparison: Comparison, results: Results, pace: Documents, pictures: Mapping[str, Path]
) -> Iterator[Block]:
    """The whole report; `pictures` by their captions."""
    yield Heading("Comparison of students", 1)
    yield Paragraph(what_is_compared(comparison))
    yield Heading("Scores")
    yield _scores(comparison, results)
    yield Paragraph(SCORES_NOTE)
    yield Heading("Paired differences")
    yield from _differences(comparison, results)
    yield Heading("Sizes and times")
    yield _costs(results, pace)
    yield Paragraph(COSTS_NOTE)
    yield Heading("Learning rates of distillation")
    yield _rates(comparison, results)
    yield from _edges(comparison, results)
    yield from _lost(results)
    yield from _gradients(results)
    for caption, path in pictures.items():
        yield Picture(path, caption)


SCORES_NOTE = (
    "Mean and standard deviation over seeds of distillation, each the mean over its seeds of fine-tuning; of teacher, untrained "
    f"weights and assistants over seeds of fine-tuning. {SCORE} is the plain mean of the tasks' columns, {GLUE} that of the "
    f"paper's eight numbers. {HELD_OUT} is the hard-label cross-entropy in nats per target token (lower is better), where the "
    "objective trains the head, on examples that no student was trained on, though learning rates were chosen by them; of the "
    f"teacher and of untrained weights as they are. {CONTINUED}: the same of every student after further steps on hard labels, "
    "as many for all."
)
COSTS_NOTE = (
    "GFLOPs by the paper's convention. Speed as measured when the first student of a row was judged, beside whatever else the "
    "machine did, other processes of this comparison included: rows of one size have one shape and would be equally fast. "
    "Minutes are those of one run, as planned from a trial of a few steps."
)
GRADIENTS_NOTE = (
    "Of every part the mean gradient norm, and how much it varies from one logged step to the next: the standard deviation of "
    "the difference of their logarithms, over the root of 2. First seed, without the first tenth of the steps. Variation grows "
    "with the learning rate, so rows are to be compared at one."
)
DIFFERENCES_NOTE = (
    "Mean of the differences between students of one seed, with its 95 % interval by Student's t over seeds of distillation. "
    "Where the interval contains 0 there is no difference that these seeds show. The intervals are not corrected for their "
    "number: one in twenty misses its true value."
)


def _scores(comparison: Comparison, results: Results) -> Table:
    columns = (*results.columns, SCORE, *_losses(comparison))
    rows = [_judged_row(columns, results.teacher)] if results.teacher else []
    rows += [_assistant_row(columns, outcome) for outcome in results.assistants]
    for size in comparison.sizes:
        rows += [_outcome_row(columns, outcome) for outcome in results.students if outcome.student.size == size]
        rows += [_judged_row(columns, results.untrained[size])] if size in results.untrained else []
    return Table(["model", *columns], rows)


def _losses(comparison: Comparison) -> tuple[str, ...]:
    return (HELD_OUT, CONTINUED) if comparison.continuation else (HELD_OUT,)


def _judged_row(columns: Sequence[str], judged: Judged) -> list[str]:
    values = {**judged.values, HELD_OUT: judged.held_out}
    return [judged.name, *(_spread(values.get(one), judged.spreads.get(one), one) for one in columns)]


def _assistant_row(columns: Sequence[str], outcome: Outcome) -> list[str]:
    """Of its one seed of distillation, with the spread over seeds of fine-tuning."""
    for judged in outcome.judged.values():
        found = {one: _spread(value, judged.spreads.get(one), one) for one, value in judged.values.items()}
        return [outcome.student.label, *(found.get(one) or _found(outcome, one) for one in columns)]
    return _outcome_row(columns, outcome)


def _outcome_row(columns: Sequence[str], outcome: Outcome) -> list[str]:
    return [outcome.student.label, *(_found(outcome, column) for column in columns)]


def _found(outcome: Outcome, column: str) -> str:
    found = mean_and_spread(outcome.column(column))
    return _spread(*found, column) if found else "-"


def _spread(mean: float | None, deviation: float | None, column: str) -> str:
    digits = 3 if column in (HELD_OUT, CONTINUED) else 1
    if mean is None:
        return "-"
    return f"{mean:.{digits}f}" + (f" ± {deviation:.{digits}f}" if deviation is not None else "")


def _differences(comparison: Comparison, results: Results) -> Iterator[Block]:
    columns = (SCORE, *_losses(comparison), *results.columns)
    rows = []
    for size in comparison.sizes:
        for pair in comparison.pairs:
            found = [results.difference(size, pair, column) for column in columns]
            if any(found):
                cells = [_difference(one, column) for one, column in zip(found, columns, strict=True)]
                rows.append([f"{size} {pair[0]} - {pair[1]}", *cells])
    yield Table(["rows", *columns], rows)
    yield Paragraph(DIFFERENCES_NOTE)


def _difference(found: Difference | None, column: str) -> str:
    if found is None:
        return "-"
    digits = 3 if column in (HELD_OUT, CONTINUED) else 1
    if found.margin is None:
        return f"{found.mean:+.{digits}f} (one seed)"
    shown = f"{found.mean:+.{digits}f} ± {found.margin:.{digits}f}"
    return shown if found.is_shown else f"no difference ({shown})"


def _costs(results: Results, pace: Documents) -> Table:
    seconds = pace.get("train", {})
    teacher = results.teacher
    rows = [_cost_row(teacher.name, teacher.facts, None)] if teacher and teacher.facts else []
    for outcome in (*results.assistants, *results.students):
        judged = next(iter(outcome.judged.values()), None)
        if judged and judged.facts:
            rows.append(_cost_row(outcome.student.label, judged.facts, seconds.get(outcome.student.label)))
    header = [
        "model",
        "parameters (M)",
        "without embeddings (M)",
        "GFLOPs",
        "ms for one example",
        "examples/s",
        "distillation (min, planned)",
    ]
    return Table(header, rows)


def _cost_row(name: str, facts: ModelFacts, seconds: float | None) -> list[str]:
    return [
        name,
        f"{facts.parameters / 1e6:.2f}",
        f"{facts.parameters_without_embeddings / 1e6:.2f}",
        f"{facts.gflops:.3g}",
        f"{facts.latency_ms:.1f}",
        f"{facts.examples_per_second:.0f}",
        "-" if seconds is None else f"{seconds / 60:.1f}",
    ]


def _rates(comparison: Comparison, results: Results) -> Table:
    """Held-out loss of each student's own objective by learning rate; the chosen one is marked."""
    rows = []
    for outcome in (*results.assistants, *results.students):
        cells = []
        for rate in comparison.learning_rates:
            if rate not in outcome.losses:
                cells.append("")
                continue
            loss = outcome.losses[rate]
            text = "-" if loss is None else "not finite" if loss == float("inf") else f"{loss:.4f}"
            cells.append(f"{text} (taken)" if rate == outcome.rate and len(outcome.losses) > 1 else text)
        rows.append([outcome.student.label, *cells])
    return Table(["held-out loss of its own objective", *(f"{rate:g}" for rate in comparison.learning_rates)], rows)


def _edges(comparison: Comparison, results: Results) -> Iterator[Paragraph]:
    """Which rates were the smallest or largest of three or more."""
    taken = [outcome for outcome in (*results.assistants, *results.students) if outcome.at_edge]
    if taken:
        names = ", ".join(outcome.student.label for outcome in taken)
        yield Paragraph(f"At the edge of what was tried, so that a rate beyond it might be better: {names}.")
    for name in comparison.tasks:
        task = find_task(name)
        tried = list(comparison.tasks[name].rates(task))
        at_edge = [one.name for one in results.first_judged() if one.rates.get(task.name) in (tried[0], tried[-1])]
        if len(tried) > 2 and at_edge:
            yield Paragraph(
                f"At the edge of the rates tried in fine-tuning on {name} ({', '.join(f'{rate:g}' for rate in tried)}): "
                f"{', '.join(at_edge)}."
            )


def _lost(results: Results) -> Iterator[Paragraph]:
    lost = [f"{outcome.student.label}, seed {seed}" for outcome in results.students for seed in outcome.lost]
    if lost:
        yield Paragraph(
            f"Left out, since the loss was not finite at the rate that the first seed chose: {'; '.join(lost)}."
        )
    failed = [f"{judged.name} of {', '.join(judged.failed)}" for judged in results.all_judged() if judged.failed]
    if failed:
        yield Paragraph(f"Left out, since the loss of a fine-tuning was not finite: {'; '.join(failed)}.")


def _gradients(results: Results) -> Iterator[Block]:
    outcomes = pilot_outcomes(results)
    if not outcomes:
        return
    yield Heading("Gradients of the implicit and the explicit objectives")
    if rows := list(gradient_rows(outcomes)):
        yield Table(["row, learning rate", *PARTS.values()], rows)
        yield Paragraph(GRADIENTS_NOTE)
    else:
        names = ", ".join(outcome.student.label for outcome in outcomes)
        yield Paragraph(f"No learning rate was tried by all of {names}, and they can be compared at one alone.")


def summary_lines(comparison: Comparison, results: Results) -> Iterator[str]:
    """The table of scores for a terminal."""
    table = _scores(comparison, results)
    lines = [table.header, *table.rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(table.header))]
    for line in lines:
        first, *others = (
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        yield "  ".join([first, *others])
