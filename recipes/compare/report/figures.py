"""Draw a comparison: scores with error bars, validation losses over the steps, and gradient norms by part.

Every picture is narrow, so that its letters can be read on a phone; a wide page shows several side by side.
"""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ....runtime.picture import AMBER, BLUE, GREEN, ORANGE, PURPLE, SKY, new_figure, plain_numbers, save
from ....student_train.run.metrics import VALIDATION as VALIDATION_PREFIX
from ....student_train.run.metrics import curve, read_metrics
from .gradients import PARTS, PICTURE, common_rate, norms, pilot_outcomes, unsteadiness
from .results import SCORE, Outcome, Results, mean_and_spread

WIDTH = 5.6
"""Inches; on a phone of 400 pixels the smallest letters are then about 8 pixels high."""
CROSS_ENTROPY = "cross_entropy"
COLOURS = (ORANGE, AMBER, PURPLE, SKY, BLUE, "#003B5C", GREEN, "#00523B", "0.35", "0.6")
STYLES = ("-", "--", ":", "-.")


def draw_all(results: Results, folder: Path) -> dict[str, Path]:
    """Draw every picture that has data, and return the files by caption."""
    drawn = {}
    if any(outcome.column(SCORE) for outcome in results.students):
        drawn["Score by row; error bars are one standard deviation over seeds of distillation"] = draw_scores(
            results, folder / "scores.png"
        )
    if any(outcome.outputs for outcome in results.students):
        if draw_losses(results, folder / "losses.png", CROSS_ENTROPY, relative=False):
            drawn["Validation cross-entropy of hard labels over the steps, first seed"] = folder / "losses.png"
        if draw_losses(results, folder / "objectives.png", "loss", relative=True):
            drawn["Validation loss of each row's own objective over its first value, first seed"] = (
                folder / "objectives.png"
            )
    pilot = pilot_outcomes(results)
    if (rate := common_rate(pilot)) is not None:
        drawn[f"{GRADIENTS}; all at learning rate {rate:g}, first seed"] = draw_gradients(pilot, rate, folder / PICTURE)
    return drawn


GRADIENTS = (
    "Gradient norms by part for the implicit and the explicit objectives, and how much they vary from line to line"
)


def draw_scores(results: Results, path: Path) -> Path:
    """Draw a dot for each row in each size, and lines for the teacher and random weights.

    Dots and not bars, because the axis does not start at 0.
    """
    shown = [outcome for outcome in results.students if outcome.column(SCORE)]
    figure = new_figure(WIDTH, 1.7 + 0.34 * len(shown))
    axes = figure.subplots()
    sizes = list(dict.fromkeys(outcome.student.size for outcome in shown))
    for position, outcome in enumerate(shown):
        mean, deviation = mean_and_spread(outcome.column(SCORE)) or (math.nan, None)
        style: dict[str, Any] = {
            "color": look(results, outcome)["color"],
            "markersize": 7,
            "capsize": 3,
            "elinewidth": 1.6,
        }
        axes.errorbar(
            mean, position, xerr=deviation, fmt=("o", "s", "^", "D")[sizes.index(outcome.student.size) % 4], **style
        )
        axes.text(mean + (deviation or 0.0), position, f"  {mean:.1f}", va="center", fontsize=8)
    values = [value for outcome in shown for value in outcome.column(SCORE).values()]
    for name, value in _lines(results):
        line = "--" if name == "teacher" else ":"
        axes.axvline(value, color="0.2", linestyle=line, linewidth=1, label=name.replace("untrained", "random weights"))
        values.append(value)
    room = max(1.0, max(values) - min(values))
    axes.set_xlim(min(values) - 0.25 * room, max(values) + 0.2 * room)
    axes.set_yticks(range(len(shown)), [outcome.student.label for outcome in shown])
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.set_xlabel("score: mean over tasks")
    _plain(axes, "x")
    if results.teacher or results.untrained:
        figure.legend(frameon=False, fontsize=8, loc="outside upper right", ncols=2)
    return save(figure, path)


def _lines(results: Results) -> Iterator[tuple[str, float]]:
    for evaluated in (results.teacher, *results.untrained.values()):
        if evaluated and SCORE in evaluated.values:
            yield evaluated.name, evaluated.values[SCORE]


def draw_losses(results: Results, path: Path, name: str, relative: bool) -> bool:
    """Draw a validation loss over the steps, or its ratio to the first value, and return whether there was anything to draw."""
    figure = new_figure(WIDTH, 4.4)
    axes = figure.subplots()
    for outcome in results.students:
        steps, values = (
            curve(read_metrics(outcome.outputs[0]), VALIDATION_PREFIX + name) if 0 in outcome.outputs else ([], [])
        )
        if steps:
            shown = [value / values[0] for value in values] if relative else values
            axes.plot(steps, shown, **look(results, outcome), linewidth=1.6, marker=".", label=outcome.student.label)
    if not axes.lines:
        return False
    if not relative:
        for name_of_line, value, line in _loss_lines(results):
            axes.axhline(value, color="0.35", linestyle=line, linewidth=1, label=f"{name_of_line} {value:.2f}")
    axes.locator_params(axis="x", integer=True)
    axes.set_xlabel("step")
    axes.set_ylabel("over the first value" if relative else "nats per target token")
    _plain(axes, "y")
    figure.legend(frameon=False, fontsize=8, loc="outside lower center", ncols=2)
    save(figure, path)
    return True


def _loss_lines(results: Results) -> Iterator[tuple[str, float, str]]:
    """Yield the name, the value and the line style of what bounds the losses."""
    if results.teacher and results.teacher.validation is not None:
        yield "teacher", results.teacher.validation, "--"


def _plain(axes: Any, grid: str) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis=grid, color="0.92")
    axes.set_axisbelow(True)


def draw_gradients(outcomes: Sequence[Outcome], rate: float, path: Path) -> Path:
    """Draw for the runs at one learning rate the norms over steps, a panel for each part, and their unsteadiness."""
    figure = new_figure(WIDTH, 7.6)
    panels = figure.subplot_mosaic(
        [["encoder", "decoder_self"], ["decoder_cross", "decoder_feed_forward"], ["variation", "variation"]],
        height_ratios=[1, 1, 1.1],
    )
    width = 0.8 / len(outcomes)
    for number, outcome in enumerate(outcomes):
        run = read_metrics(outcome.tried[rate])
        colour = (ORANGE, BLUE, GREEN, PURPLE, AMBER, SKY)[number % 6]
        for part in PARTS:
            panels[part].plot(*norms(run, part), color=colour, linewidth=0.8, alpha=0.8)
        positions = [position + (number - (len(outcomes) - 1) / 2) * width for position in range(len(PARTS))]
        variations = [unsteadiness(run, part) for part in PARTS]
        panels["variation"].bar(positions, variations, width=0.92 * width, color=colour, label=outcome.student.label)
    for part, title in PARTS.items():
        panels[part].set_yscale("log")
        plain_numbers(panels[part].yaxis)
        panels[part].set_title(f"{title}: gradient norm", fontsize=9)
        panels[part].set_xlabel("step", fontsize=8)
    panels["variation"].set_xticks(
        range(len(PARTS)), [title.replace(" ", "\n") for title in PARTS.values()], fontsize=8
    )
    panels["variation"].set_title("variation from line to line (log norm)", fontsize=9)
    figure.legend(frameon=False, fontsize=8, loc="outside lower center", ncols=2)
    return save(figure, path)


def look(results: Results, outcome: Outcome) -> dict[str, Any]:
    """Return the colour of a row and the line style of its size. When the colours run out, the line style changes too."""
    names = list(dict.fromkeys(one.student.name for one in results.students))
    sizes = list(dict.fromkeys(one.student.size for one in results.students))
    number, position = names.index(outcome.student.name), sizes.index(outcome.student.size)
    style = STYLES[(number // len(COLOURS) + position) % len(STYLES)]
    return {"color": COLOURS[number % len(COLOURS)], "linestyle": style}
