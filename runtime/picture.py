"""The common part of all pictures: a figure without a display, colours, and how it is saved.

The colours are from Okabe and Ito (2008); people with any common colour blindness can tell them apart.
"""

import warnings
from io import BytesIO
from pathlib import Path
from typing import Any

from ..errors import ConfigurationError

try:
    from matplotlib.figure import Figure
    from matplotlib.text import Text
    from matplotlib.ticker import LogFormatter, NullFormatter
except ImportError as error:
    raise ConfigurationError(f"pictures need matplotlib: pip install 'miniend[plot]' ({error})") from None

__all__ = ["AMBER", "BLUE", "GREEN", "ORANGE", "PURPLE", "RAW", "SKY", "Figure", "new_figure", "plain_numbers", "save"]

BLUE, SKY, ORANGE, GREEN = "#0072B2", "#56B4E9", "#D55E00", "#009E73"
PURPLE, AMBER = "#CC79A7", "#E69F00"
RAW = "0.72"
"""Grey, for what is not cached or carries no information."""
DOTS_PER_INCH = 130


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of this size in inches. It does not belong to a window and need not be closed."""
    return Figure(figsize=(width, height), layout="constrained")


def plain_numbers(axis: Any) -> None:
    """Label a logarithmic axis with plain numbers; matplotlib's own labels are formulas, which `save` does not read."""
    few = axis.get_major_locator()
    few.set_params(subs=(1.0, 2.0, 5.0))
    axis.set_major_formatter(lambda value, _position: f"{value:g}")
    axis.set_minor_formatter("")


def save(figure: Figure, path: Path) -> Path:
    """Write the figure in the format of the path's ending and return the path.

    We draw it in memory first, so that a failure does not leave half a picture. Letters that the font lacks become boxes. A
    dollar sign is a dollar sign: matplotlib reads a formula between two of them, and fails if it is none.
    """
    for axis in (one for axes in figure.axes for one in (axes.xaxis, axes.yaxis)):
        if isinstance(axis.get_major_formatter(), LogFormatter):  # whose labels are formulas
            axis.set_major_formatter(lambda value, _position: _plainly(value))
            axis.set_minor_formatter(NullFormatter())
    for text in figure.findobj(Text):
        text.set_parse_math(False)
    drawn = BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(drawn, format=path.suffix.lower().removeprefix("."), dpi=DOTS_PER_INCH)
    path.write_bytes(drawn.getvalue())
    return path


def _plainly(value: float) -> str:
    """Return a power of ten as people write it: `10,000`, `0.01`, `1e-05`."""
    return f"{value:,.0f}" if 1 <= value < 1e7 else f"{value:g}"
