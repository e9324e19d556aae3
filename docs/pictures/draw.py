"""Draw the pictures of the documentation from the numbers in the JSON files beside it.

    python docs/pictures/draw.py [FOLDER]

Each JSON file holds what a benchmark printed, with the command. docs/results/measurements.md has the same numbers.
"""

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl

from miniend.runtime.picture import BLUE, GREEN, ORANGE, PURPLE, RAW, Figure, new_figure

FOLDER = Path(__file__).parent
COLOURS = {"hybrid": BLUE, "sampled": GREEN, "RS-KD": PURPLE, "top-k": ORANGE, "renormalized": RAW}
"""The colour of a target, by the first word of its name."""
NAMES = {"hybrid": "", "RS-KD": "RS-KD\n(independent draws)", "renormalized": "top 64,\nrenormalized"}
DEFAULT = "hybrid, 20 draws"
SECONDS_OF_AN_HOUR = 3600
MOST_STUDENTS = 6


def gradient_angle(data: dict[str, Any]) -> Figure:
    """Draw for every target the bytes per token against the angle of the student's gradient, one panel per vocabulary."""
    figure = new_figure(9.6, 4.3)
    panels = figure.subplots(1, 2, sharey=True)
    for axes, panel in zip(panels, data["panels"], strict=True):
        for first, colour in COLOURS.items():
            targets = sorted(
                (one["bytes"], one["angle"]) for one in panel["targets"] if one["target"].startswith(first)
            )
            axes.plot(*zip(*targets, strict=True), marker="o", color=colour, linewidth=1.8, markersize=5)
            _name(axes, NAMES.get(first, first), targets[-1], colour)
        default = next((one["bytes"], one["angle"]) for one in panel["targets"] if one["target"] == DEFAULT)
        axes.plot(*default, "o", markersize=11, markerfacecolor="none", color=BLUE)
        axes.annotate(
            DEFAULT.replace(", ", "\n") + "\n(default)",
            default,
            (-15, -28),
            textcoords="offset points",
            color=BLUE,
            ha="right",
            fontsize=9,
        )
        _logarithmic(axes)
        axes.set_title(f"vocabulary of {panel['vocabulary']:,}", loc="left", fontsize=11)
        axes.set_xlabel("bytes per target token")
    panels[0].set_ylabel("angle to the full gradient (degrees)")
    figure.suptitle("A student's gradient from the cache: lower left is better", fontweight="bold")
    return figure


def _name(axes: Any, name: str, point: tuple[float, float], colour: str) -> None:
    """Write the name of a line beside its last point."""
    if name:
        shade = "0.45" if colour == RAW else colour
        axes.annotate(name, point, (7, 0), textcoords="offset points", color=shade, va="center", fontsize=9)


def _logarithmic(axes: Any) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(4.5, 300)
    axes.set_xticks([5, 10, 20, 50, 100], ["5", "10", "20", "50", "100"])
    axes.set_yticks([0.5, 1, 2, 5, 10, 20, 50], ["0.5", "1", "2", "5", "10", "20", "50"])
    axes.minorticks_off()
    axes.grid(color="0.92")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def wall_time(data: dict[str, Any]) -> Figure:
    """Draw the hours of n students beside the live teacher, and from a cache, its dump included."""
    figure = new_figure(6.4, 3.9)
    axes = figure.subplots()
    students = range(1, MOST_STUDENTS + 1)
    steps = data["examples"] / data["batch"]
    dump = (data["once"] + data["examples"] * data["dump_of_an_example"]) / SECONDS_OF_AN_HOUR
    live = [n * steps * data["step_beside_the_teacher"] / SECONDS_OF_AN_HOUR for n in students]
    cached = [dump + n * steps * data["step_from_the_cache"] / SECONDS_OF_AN_HOUR for n in students]
    for hours, colour, name, place in (
        (live, ORANGE, "beside the live teacher", (-12, 0)),
        (cached, BLUE, "dump, then from the cache", (0, -70)),
    ):
        axes.plot(students, hours, marker="o", color=colour, linewidth=2)
        end = (MOST_STUDENTS, hours[-1])
        axes.annotate(name, end, place, textcoords="offset points", color=colour, ha="right", va="center")
    axes.bar([0], [dump], width=0.35, color=BLUE, alpha=0.3)
    axes.annotate("the dump", (0, dump), (0, 4), textcoords="offset points", color=BLUE, ha="center", fontsize=9)
    axes.set_ylim(0, None)
    axes.set_xlim(-0.4, MOST_STUDENTS + 0.3)
    axes.set_xticks(students)
    axes.set_xlabel(f"students, each on {data['examples']:,} examples (from measured seconds per step)")
    axes.set_ylabel("hours on 2 CPU cores")
    axes.set_title("Wall time over the number of students", loc="left", fontweight="bold", fontsize=11)
    axes.grid(axis="y", color="0.92")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def filters(data: dict[str, Any]) -> Figure:
    """Draw for each layer the teacher's loss when it goes on from filtered states, one panel per stack."""
    figure = new_figure(8.4, 3.6)
    panels = figure.subplots(1, 2, sharey=True)
    for axes, stack in zip(panels, ("encoder", "decoder"), strict=True):
        layers = range(1, len(data[stack]["after"]) + 1)
        axes.plot(layers, data[stack]["before"], marker="o", color=ORANGE, linewidth=1.8, label="principal directions")
        axes.plot(layers, data[stack]["after"], marker="o", color=BLUE, linewidth=1.8, label="after training")
        for name, text in (("teacher", "whole teacher"), ("unigram", "word frequencies")):
            axes.axhline(data[name], color="0.6", linewidth=1, linestyle=":")
            axes.annotate(text, (1, data[name]), (0, 3), textcoords="offset points", color="0.4", fontsize=8)
        axes.set_xticks(layers)
        axes.set_xlabel(f"{stack} layer of the filter")
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("nats per target token")
    panels[1].legend(frameon=False, fontsize=9)
    figure.suptitle("The teacher's loss from filtered states: lower is better", fontweight="bold")
    return figure


PICTURES = {"filters": filters, "gradient-angle": gradient_angle, "wall-time": wall_time}


def numbers_of(name: str) -> dict[str, Any]:
    """Return the content of a picture's JSON file."""
    content: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return content


def main(folder: Path) -> None:
    """Draw all pictures into a folder; the same numbers give the same file."""
    mpl.rcParams["svg.hashsalt"] = "miniend"
    for name, draw in PICTURES.items():
        draw(numbers_of(name)).savefig(folder / f"{name}.svg", metadata={"Date": None})


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
