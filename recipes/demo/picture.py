"""The demo's picture: each student's validation loss over the steps, and the raw and cached bytes of each signal."""

from pathlib import Path
from typing import Any

from ...runtime.picture import BLUE, ORANGE, RAW, SKY, new_figure, save
from ...student_train.run.metrics import VALIDATION, curve, read_metrics
from .report import DemoResult

COLOURS = (BLUE, SKY, ORANGE)


def draw(result: DemoResult, path: Path) -> Path:
    """Write the PNG and return its path."""
    figure = new_figure(11.5, 4.4)
    losses, sizes = figure.subplots(1, 2)
    _draw_losses(losses, result)
    _draw_sizes(sizes, result)
    return save(figure, path)


def _draw_losses(axes: Any, result: DemoResult) -> None:
    for colour, student in zip(COLOURS, result.students, strict=True):
        steps, values = curve(read_metrics(student.output), f"{VALIDATION}cross_entropy")
        axes.plot(steps, values, color=colour, marker="o", markersize=3, label=student.name)
    axes.axhline(result.unigram, color="0.55", linestyle=":", label="unigram frequencies")
    axes.axhline(result.teacher_loss, color="0.15", linestyle="--", label="teacher")
    axes.set_xlabel("step")
    axes.set_ylabel("validation cross-entropy (nats per target token)")
    axes.set_title("Students of one cache, and one from scratch")
    axes.legend(frameon=False, fontsize=8, loc="upper right", bbox_to_anchor=(1.0, 0.93))


def _draw_sizes(axes: Any, result: DemoResult) -> None:
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
    axes.set_title("Bytes per signal")
    axes.legend(frameon=False, fontsize=8, loc="center right")
