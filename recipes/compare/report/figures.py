"""Draw a comparison: scores with error bars, validation losses over the steps, and gradient norms by part."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from ....student_train.run.metrics import VALIDATION as VALIDATION_PREFIX
from ....student_train.run.metrics import curve, read_metrics
from ...picture import AMBER, BLUE, GREEN, ORANGE, PURPLE, SKY, new_figure, save
from .gradients import PARTS, common_rate, norms, pilot_outcomes, unsteadiness
from .results import SCORE, VALIDATION, Outcome, Results, mean_and_spread

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
        drawn["Validation loss over the steps, first seed"] = draw_losses(results, folder / "losses.png")
    pilot = pilot_outcomes(results)
    if (rate := common_rate(pilot)) is not None:
        drawn[f"{GRADIENTS}; all at learning rate {rate:g}, first seed"] = draw_gradients(
            pilot, rate, folder / "gradients.png"
        )
    return drawn


GRADIENTS = (
    "Gradient norms by part for the implicit and the explicit objectives, and how much they vary from line to line"
)


def draw_scores(results: Results, path: Path) -> Path:
    """Draw a bar for each row in each size, and lines for the teacher and random weights."""
    shown = [outcome for outcome in results.students if outcome.column(SCORE)]
    figure = new_figure(9.0, 1.6 + 0.32 * len(shown))
    axes = figure.subplots()
    for position, outcome in enumerate(shown):
        mean, deviation = mean_and_spread(outcome.column(SCORE)) or (math.nan, None)
        axes.barh(position, mean, color=look(results, outcome)["color"], height=0.7, xerr=deviation, capsize=3)
        axes.text(mean + (deviation or 0.0), position, f"  {mean:.1f}", va="center", fontsize=8)
    values = [value for outcome in shown for value in outcome.column(SCORE).values()]
    for name, value in _lines(results):
        axes.axvline(value, color="0.2", linestyle="--" if name == "teacher" else ":", linewidth=1, label=name)
        values.append(value)
    room = max(1.0, max(values) - min(values))
    axes.set_xlim(min(values) - 0.25 * room, max(values) + 0.2 * room)
    axes.set_yticks(range(len(shown)), [outcome.student.label for outcome in shown])
    axes.invert_yaxis()
    axes.set_xlabel("score: mean over tasks (the axis does not start at 0)")
    if results.teacher or results.untrained:
        figure.legend(frameon=False, fontsize=8, loc="outside upper right", ncols=3)
    return save(figure, path)


def _lines(results: Results) -> Iterator[tuple[str, float]]:
    for evaluated in (results.teacher, *results.untrained.values()):
        if evaluated and SCORE in evaluated.values:
            yield evaluated.name, evaluated.values[SCORE]


def draw_losses(results: Results, path: Path) -> Path:
    """Draw the hard-label cross-entropy, and each objective's own loss relative to its first evaluation."""
    figure = new_figure(11.5, 4.8)
    entropies, losses = figure.subplots(1, 2)
    for outcome in results.students:
        if 0 not in outcome.outputs:
            continue
        lines = read_metrics(outcome.outputs[0])
        style = {**look(results, outcome), "linewidth": 1.4, "label": outcome.student.label}
        steps, values = curve(lines, f"{VALIDATION_PREFIX}cross_entropy")
        if steps:
            entropies.plot(steps, values, **style)
        steps, values = curve(lines, f"{VALIDATION_PREFIX}loss")
        if steps:
            losses.plot(steps, [value / values[0] for value in values], **style)
    for axes, title in (
        (entropies, f"{VALIDATION} cross-entropy of hard labels (nats)"),
        (losses, "own objective, over its first evaluation"),
    ):
        axes.set_xlabel("step")
        axes.set_title(title, fontsize=10)
    names, labels = losses.get_legend_handles_labels()
    figure.legend(names, labels, frameon=False, fontsize=8, loc="outside lower center", ncols=5)
    return save(figure, path)


def draw_gradients(outcomes: Sequence[Outcome], rate: float, path: Path) -> Path:
    """Draw for the runs at one learning rate the norms over steps, a panel for each part, and their unsteadiness."""
    figure = new_figure(13.0, 5.6)
    panels = figure.subplot_mosaic(
        [["encoder", "decoder_self", "variation"], ["decoder_cross", "decoder_feed_forward", "variation"]]
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
        panels[part].set_title(f"{title}: gradient norm", fontsize=9)
        panels[part].set_xlabel("step", fontsize=8)
    panels["variation"].set_xticks(
        range(len(PARTS)), [title.replace(" ", "\n") for title in PARTS.values()], fontsize=8
    )
    panels["variation"].set_title("variation from line to line (log norm)", fontsize=9)
    figure.legend(frameon=False, fontsize=8, loc="outside lower center", ncols=len(outcomes))
    return save(figure, path)


def look(results: Results, outcome: Outcome) -> dict[str, str]:
    """Return the colour of a row and the line style of its size. When the colours run out, the line style changes too."""
    names = list(dict.fromkeys(one.student.name for one in results.students))
    sizes = list(dict.fromkeys(one.student.size for one in results.students))
    number, position = names.index(outcome.student.name), sizes.index(outcome.student.size)
    style = STYLES[(number // len(COLOURS) + position) % len(STYLES)]
    return {"color": COLOURS[number % len(COLOURS)], "linestyle": style}
