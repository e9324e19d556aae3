"""The picture of a schedule: score over size for all candidates, the chosen one, and the line of equal trade-off through it."""

from pathlib import Path

from ...runtime.picture import BLUE, ORANGE, new_figure, save
from .record import ScheduleRecord

PICTURE = "schedule.png"
WIDTH, HEIGHT = 5.6, 3.8
"""Inches; narrow, so that the letters can be read on a phone."""


def draw(record: ScheduleRecord, folder: Path) -> Path:
    """Write the picture into a folder and return its path."""
    figure = new_figure(WIDTH, HEIGHT)
    axes = figure.subplots()
    sizes, scores = [one.size for one in record.candidates], [one.score for one in record.candidates]
    axes.plot(sizes, scores, color=BLUE, marker="o", markersize=4)
    chosen = next(one for one in record.candidates if one.keep == record.assistant)
    axes.plot([chosen.size], [chosen.score], color=ORANGE, marker="o", markersize=9, label="the assistant")
    # equal t:  m = m_chosen + lambda (size - size_chosen)
    ends = [min(sizes), max(sizes)]
    line = [chosen.score + record.tradeoff * (end - chosen.size) for end in ends]
    axes.plot(ends, line, color=ORANGE, linestyle=":", label=f"equal trade-off, lambda {record.tradeoff:g}")
    for one in record.candidates:
        axes.annotate(f"{one.keep:g}", (one.size, one.score), (4, -10), textcoords="offset points", fontsize=7)
    axes.set_xlabel("size: parameters without embeddings over the teacher's; at the points: keep")
    axes.set_ylabel(f"score: {record.score}")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
    return save(figure, folder / PICTURE)
