"""`miniend inspect --plot`: draw one picture of a cache, with its sizes, spectra and fidelity."""

from pathlib import Path
from typing import Any

from ...cache import open_cache
from ...errors import CacheUnfinishedError, ConfigurationError
from ...runtime.picture import Figure, new_figure, save
from ...runtime.progress import size_text, waiting
from ...storage.stores.place import Where
from .facts import CacheFacts
from .inspection import counted, inspect_cache
from .logit_panels import draw_gradient, draw_mass
from .panels import draw_fidelity, draw_sizes, draw_spectrum, fidelity_rows, size_rows
from .raw_sizes import raw_bytes
from .spectrum import spectrum

ENDINGS = (".png", ".svg", ".pdf")
LONGEST_NAME = 48
WIDTH, ROW, LEAST = 12.5, 0.3, 3.9
"""Inches: the width of the figure, the height of a panel's row, and the least height of a panel."""


def plot_cache(cache: Where, picture: Path) -> Path:
    """Draw a cache, finished or not, into a .png, .svg or .pdf and return its path.

    Raises ConfigurationError for another ending, CacheUnfinishedError if no shard is published yet, and what `open_cache` raises.
    """
    if picture.suffix.lower() not in ENDINGS:
        raise ConfigurationError(f"--plot {picture}: expected a file that ends in {', '.join(ENDINGS)}")
    facts = inspect_cache(cache)
    if not any(facts.tokens.values()):
        raise CacheUnfinishedError(f"{cache} does not hold a finished shard to draw yet; run dump-teacher again")
    with waiting("drawing the cache"):
        return save(draw(facts, spectrum(open_cache(cache, allow_unfinished=True))), picture)


def draw(facts: CacheFacts, bits: dict[str, dict[str, list[float]]]) -> Figure:
    """Return the figure of the facts of `inspect_cache` and the bits of `spectrum`; axes are labelled by the panels' names."""
    layout, heights = _layout(facts)
    figure = new_figure(WIDTH, sum(heights) + 0.8)
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.1, hspace=0.04, wspace=0.03)  # type: ignore[union-attr, call-arg]
    axes = figure.subplot_mosaic(layout, height_ratios=heights)
    draw_sizes(axes["sizes"], facts)
    if bits:
        draw_spectrum(axes["spectrum"], facts, bits)
    if facts.relations:
        draw_fidelity(axes["fidelity"], facts)
    if "gradient" in axes:
        draw_mass(axes["mass"], facts)
        draw_gradient(axes["gradient"], facts)
    _entitle(figure, facts)
    return figure


def _layout(facts: CacheFacts) -> tuple[list[Any], list[float]]:
    """Return the grid of panel names, and the heights of its rows in inches."""
    upper = max(LEAST, ROW * len(size_rows(facts)) + 1.2)
    lower = max(LEAST, 0.8 * ROW * len(fidelity_rows(facts)) + 1.2)
    logits = facts.fidelity.logits is not None
    if not facts.relations:
        beside = {"spectrum": upper} if facts.hidden else {}
        beside |= {"mass": 1.0, "gradient": upper - 1.0} if logits else {}
        return [["sizes", name] for name in beside], list(beside.values())
    if not logits:
        return [["sizes", "spectrum"], ["fidelity", "fidelity"]], [upper, lower]
    return [["sizes", "spectrum"], ["fidelity", "mass"], ["fidelity", "gradient"]], [upper, 1.0, lower - 1.0]


def _entitle(figure: Figure, facts: CacheFacts) -> None:
    teacher, total, raw = facts.teacher.name, facts.bytes.total, sum(raw_bytes(facts).values())
    name = teacher if len(teacher) <= LONGEST_NAME else teacher[: LONGEST_NAME - 1] + "…"
    state = "" if facts.complete else f" (unfinished, {facts.planned_examples:,} planned)"
    text = (
        f"{name}: {facts.examples:,} training and {counted(facts.validation_examples, 'validation example')}{state}, "
        f"{size_text(total)} on disk for {size_text(raw)} of bfloat16"
    )
    figure.suptitle(text, fontsize=13, fontweight="bold", parse_math=False)
