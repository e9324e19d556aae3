"""The demo's pictures: each student's validation loss over the steps, and the raw and cached bytes of each signal."""

from pathlib import Path

from ...runtime.picture import BLUE, ORANGE, RAW, SKY, Figure, new_figure, save
from ...student_train.run.metrics import VALIDATION, curve, read_metrics
from .report import DemoResult

COLOURS = (BLUE, SKY, ORANGE)


WIDTH = 5.6
"""Inches; narrow, so that the letters can be read on a phone."""


def draw(result: DemoResult, folder: Path) -> dict[str, Path]:
    """Write the pictures into a folder and return them by caption."""
    losses, sizes = new_figure(WIDTH, 4.2), new_figure(WIDTH, 1.6 + 0.7 * len(result.sizes()))
    _draw_losses(losses, result)
    _draw_sizes(sizes, result)
    return {
        "Validation loss over the steps: two students of one cache, and one without the teacher": save(
            losses, folder / "losses.png"
        ),
        "Bytes of each signal of the teacher, as it comes and in the cache": save(sizes, folder / "sizes.png"),
    }


def _draw_losses(figure: Figure, result: DemoResult) -> None:
    axes = figure.subplots()
    for colour, student in zip(COLOURS, result.students, strict=True):
        steps, values = curve(read_metrics(student.output), f"{VALIDATION}cross_entropy")
        axes.plot(steps, values, color=colour, marker="o", markersize=3, label=student.name)
    axes.axhline(result.unigram, color="0.55", linestyle=":", label="unigram frequencies")
    axes.axhline(result.teacher_loss, color="0.15", linestyle="--", label="teacher")
    axes.set_xlabel("step")
    axes.set_ylabel("validation cross-entropy (nats)")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(frameon=False, fontsize=8, loc="outside lower center", ncols=2)


def _draw_sizes(figure: Figure, result: DemoResult) -> None:
    axes = figure.subplots()
    sizes = result.sizes()
    positions = range(len(sizes))
    raw, cached = ([pair[which] / 1e6 for pair in sizes.values()] for which in (0, 1))
    axes.barh([p + 0.2 for p in positions], raw, height=0.38, color=RAW, label="raw (bfloat16)")
    axes.barh([p - 0.2 for p in positions], cached, height=0.38, color=COLOURS[0], label="cached")
    for position, (before, after) in zip(positions, sizes.values(), strict=True):
        axes.text(
            after / 1e6,
            position - 0.2,
            f" {after / 1e6:.2f} MB, {before / after:.0f}x smaller",
            va="center",
            fontsize=8,
        )
    axes.set_yticks(list(positions), list(sizes))
    axes.invert_yaxis()
    axes.set_xlabel("megabytes")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(frameon=False, fontsize=8, loc="outside lower center", ncols=2)
