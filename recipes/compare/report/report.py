"""The report of a comparison: the decision, pictures, facts and tables, in words that claim no more than the seeds show."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ....evaluation.records import ModelFacts
from ....evaluation.scores.differences import Difference, interval_text
from ....evaluation.tasks.known import find_task
from ....runtime.report.blocks import (
    Block,
    Cell,
    Heading,
    Listing,
    Paragraph,
    Picture,
    Table,
    text_of,
    with_best_in_bold,
)
from ..file.settings import Comparison
from .gradients import PARTS, gradient_rows, pilot_outcomes
from .gradients import PICTURE as GRADIENTS
from .introduction import what_is_compared
from .results import CONTINUED, GLUE, SCORE, VALIDATION, Evaluated, Outcome, Results, mean_and_spread
from .samples import Samples, sample_blocks
from .verdict import LOSSES, verdict

Documents = Mapping[str, Any]


def report_blocks(
    comparison: Comparison,
    results: Results,
    timings: Documents,
    pictures: Mapping[str, Path],
    facts: Sequence[tuple[str, str]] = (),
    samples: Samples | None = None,
) -> Iterator[Block]:
    """Yield the whole report; `pictures` are files by caption, `facts` are the facts of the run."""
    yield Heading("Comparison of students", 1)
    yield verdict(comparison, results).lead()
    yield from (Picture(path, caption) for caption, path in pictures.items() if path.name != GRADIENTS)
    yield Heading("The run")
    yield Paragraph(what_is_compared(comparison))
    if facts:
        yield Listing(facts)
    yield Heading("Scores")
    yield _scores(comparison, results)
    yield Paragraph(SCORES_NOTE)
    yield Heading("Paired differences")
    yield from _differences(comparison, results)
    yield Heading("Sizes and times")
    yield _costs(results, timings)
    yield Paragraph(COSTS_NOTE)
    if samples:
        yield from sample_blocks(samples)
    yield Heading("Learning rates of distillation")
    yield _rates(comparison, results)
    yield from _edges(comparison, results)
    yield from _lost(results)
    yield from _gradients(results)
    yield from (Picture(path, caption) for caption, path in pictures.items() if path.name == GRADIENTS)


SCORES_NOTE = (
    "Bold: the best mean of the students in a column, which need not be a difference that the seeds show. "
    "Mean and standard deviation over seeds of distillation; each seed counts as the mean over its seeds of fine-tuning. For the "
    "teacher, untrained weights and assistants, both are over seeds of fine-tuning. "
    f"{SCORE} is the plain mean of the tasks' columns, {GLUE} the plain mean of the paper's eight numbers. "
    f"{VALIDATION} is the hard-label cross-entropy in nats per token, lower is better. It is shown if the objective trains "
    "the head. No student was trained on its examples, but learning rates were chosen by them. The teacher and untrained weights "
    f"are measured as they are. {CONTINUED} is the same for every student after further steps on hard labels, as many for all."
)
COSTS_NOTE = (
    "GFLOPs follow the paper's convention. Speed was measured when the first student of a row was evaluated. The machine may "
    "have done other work then, such as other processes of this comparison. Rows of one size have one shape, so on an idle "
    "machine they would be equally fast. Minutes are for one run, planned from a trial of a few steps."
)
GRADIENTS_NOTE = (
    "For every part: the mean gradient norm; and how much it varies from one logged step to the next, which is the standard "
    "deviation of the difference of their logarithms, over the root of 2. First seed, without the first tenth of the steps. "
    "Variation grows with the learning rate, so compare rows at the same rate."
)
DIFFERENCES_NOTE = (
    "Mean of the differences between students of one seed, with its 95 % interval by Student's t over seeds of distillation. "
    "If the interval contains 0, these seeds do not show a difference, and the cell says so. The intervals are not corrected for "
    "their number: one in twenty misses its true value."
)


def _scores(comparison: Comparison, results: Results) -> Table:
    columns = (*results.columns, SCORE, *_losses(comparison))
    bold = _bold_students(columns, results)
    rows: list[Sequence[Cell]] = [_evaluated_row(columns, results.teacher)] if results.teacher else []
    rows += [_assistant_row(columns, outcome) for outcome in results.assistants]
    for size in comparison.sizes:
        rows += [bold[outcome.student.label] for outcome in results.students if outcome.student.size == size]
        rows += [_evaluated_row(columns, results.untrained[size])] if size in results.untrained else []
    return Table(["model", *columns], rows)


def _bold_students(columns: Sequence[str], results: Results) -> dict[str, list[Cell]]:
    """Return the rows of the students by label, with the best mean of each column in bold."""
    means = [[mean_and_spread(one.column(column)) for column in columns] for one in results.students]
    numbers = [[None, *(round(pair[0], 4) if pair else None for pair in row)] for row in means]
    rows = [_outcome_row(columns, outcome) for outcome in results.students]
    marked = with_best_in_bold(rows, numbers, [False, *(column in LOSSES for column in columns)])
    return {one.student.label: row for one, row in zip(results.students, marked, strict=True)}


def _losses(comparison: Comparison) -> tuple[str, ...]:
    return (VALIDATION, CONTINUED) if comparison.continuation else (VALIDATION,)


def _evaluated_row(columns: Sequence[str], evaluated: Evaluated) -> list[str]:
    values = {**evaluated.values, VALIDATION: evaluated.validation}
    return [evaluated.name, *(_spread(values.get(one), evaluated.spreads.get(one), one) for one in columns)]


def _assistant_row(columns: Sequence[str], outcome: Outcome) -> list[str]:
    """Return the row of an assistant: its one seed of distillation, with the spread over seeds of fine-tuning."""
    for evaluated in outcome.evaluated.values():
        cells = {one: _spread(value, evaluated.spreads.get(one), one) for one, value in evaluated.values.items()}
        return [outcome.student.label, *(cells.get(one) or _cell(outcome, one) for one in columns)]
    return _outcome_row(columns, outcome)


def _outcome_row(columns: Sequence[str], outcome: Outcome) -> list[str]:
    return [outcome.student.label, *(_cell(outcome, column) for column in columns)]


def _cell(outcome: Outcome, column: str) -> str:
    spread = mean_and_spread(outcome.column(column))
    return _spread(*spread, column) if spread else "-"


def _spread(mean: float | None, deviation: float | None, column: str) -> str:
    digits = 3 if column in LOSSES else 1
    if mean is None:
        return "-"
    return f"{mean:.{digits}f}" + (f" ± {deviation:.{digits}f}" if deviation is not None else "")


def _differences(comparison: Comparison, results: Results) -> Iterator[Block]:
    columns = (SCORE, *_losses(comparison), *results.columns)
    rows = []
    for size in comparison.sizes:
        for pair in comparison.pairs:
            differences = [results.difference(size, pair, column) for column in columns]
            if any(differences):
                cells = [_difference(one, column) for one, column in zip(differences, columns, strict=True)]
                rows.append([f"{size} {pair[0]} - {pair[1]}", *cells])
    yield Table(["rows", *columns], rows)
    yield Paragraph(DIFFERENCES_NOTE)


def _difference(difference: Difference | None, column: str) -> str:
    return "-" if difference is None else interval_text(difference, 3 if column in LOSSES else 1)


def _costs(results: Results, timings: Documents) -> Table:
    seconds = timings.get("train", {})
    teacher = results.teacher
    rows = [_cost_row(teacher.name, teacher.facts, None)] if teacher and teacher.facts else []
    numbers: list[list[float | None]] = [[None] * 7 for _ in rows]
    for outcome in (*results.assistants, *results.students):
        evaluated = next(iter(outcome.evaluated.values()), None)
        if evaluated and (facts := evaluated.facts):
            planned = seconds.get(outcome.student.label)
            rows.append(_cost_row(outcome.student.label, facts, planned))
            sizes = [facts.parameters, facts.parameters_without_embeddings, facts.gflops]
            numbers.append([None, *sizes, None, None, None])  # times are noisy, so none of them is the best
    header = [
        "model",
        "parameters (M)",
        "without embeddings (M)",
        "GFLOPs",
        "ms for one example",
        "examples/s",
        "distillation (min, planned)",
    ]
    return Table(header, with_best_in_bold(rows, numbers, [True] * 7))


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
    """Return each student's validation loss of its own objective by learning rate; the chosen rate is marked."""
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
    return Table(["validation loss of its own objective", *(f"{rate:g}" for rate in comparison.learning_rates)], rows)


def _edges(comparison: Comparison, results: Results) -> Iterator[Paragraph]:
    """Name the models whose best rate was the smallest or largest of three or more."""
    taken = [outcome for outcome in (*results.assistants, *results.students) if outcome.at_edge]
    if taken:
        names = ", ".join(outcome.student.label for outcome in taken)
        yield Paragraph(
            f"The best rate was at the edge of the tried ones, so a rate beyond it might be better: {names}."
        )
    for name in comparison.tasks:
        task = find_task(name)
        tried = list(comparison.tasks[name].rates(task))
        at_edge = [one.name for one in results.first_evaluated() if one.rates.get(task.name) in (tried[0], tried[-1])]
        if len(tried) > 2 and at_edge:
            yield Paragraph(
                f"In fine-tuning on {name}, the best rate was at the edge of {', '.join(f'{rate:g}' for rate in tried)}: "
                f"{', '.join(at_edge)}."
            )


def _lost(results: Results) -> Iterator[Paragraph]:
    lost = [f"{outcome.student.label}, seed {seed}" for outcome in results.students for seed in outcome.lost]
    if lost:
        yield Paragraph(
            f"Left out, because the loss was not finite at the rate that the first seed chose: {'; '.join(lost)}."
        )
    failed = [
        f"{evaluated.name} of {', '.join(evaluated.failed)}"
        for evaluated in results.all_evaluated()
        if evaluated.failed
    ]
    if failed:
        yield Paragraph(f"Left out, because the loss of a fine-tuning was not finite: {'; '.join(failed)}.")


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
        yield Paragraph(
            f"These rows did not all try the same learning rate, so their gradients cannot be compared: {names}."
        )


def summary_lines(comparison: Comparison, results: Results) -> Iterator[str]:
    """Yield the lines of the table of scores for a terminal, and what they decide."""
    table = _scores(comparison, results)
    lines = [table.header, *([text_of(cell) for cell in row] for row in table.rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(table.header))]
    for line in lines:
        first, *others = (
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        yield "  ".join([first, *others])
    yield verdict(comparison, results).lead().text
