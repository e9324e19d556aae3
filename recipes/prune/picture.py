"""The picture of a sorted teacher: held-out loss over the fraction that is kept."""

from collections.abc import Sequence
from pathlib import Path

from ...runtime.picture import BLUE, new_figure, save
from .record import Row

PICTURE = "pruning.png"
WIDTH, HEIGHT = 5.6, 3.8
"""Inches; narrow, so that the letters can be read on a phone."""


def draw(table: Sequence[Row], folder: Path) -> Path:
    """Write the picture into a folder and return its path; at least one row has a loss."""
    figure = new_figure(WIDTH, HEIGHT)
    axes = figure.subplots()
    points = [(row, row.cross_entropy) for row in table if row.cross_entropy is not None]
    axes.plot([row.keep for row, _ in points], [loss for _, loss in points], color=BLUE, marker="o", markersize=4)
    for row, loss in points:
        axes.annotate(f"{row.heads}, {row.d_ff:,}", (row.keep, loss), (4, 4), textcoords="offset points", fontsize=7)
    axes.set_xlabel("fraction that is kept; at the points: heads, neurons")
    axes.set_ylabel("held-out cross-entropy (nats), untrained")
    axes.set_xlim(right=1.2)
    axes.spines[["top", "right"]].set_visible(False)
    return save(figure, folder / PICTURE)
