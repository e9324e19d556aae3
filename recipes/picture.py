"""What all pictures share: a figure without a display, colours, and the file it becomes.

The colours are those of Okabe and Ito (2008), which people with any common colour blindness can tell apart.
"""

import warnings
from io import BytesIO
from pathlib import Path

from ..errors import ConfigurationError

try:
    from matplotlib.figure import Figure
except ImportError as error:
    raise ConfigurationError(f"pictures need matplotlib: pip install 'miniend[plot]' ({error})") from None

__all__ = ["AMBER", "BLUE", "GREEN", "ORANGE", "PURPLE", "RAW", "SKY", "Figure", "new_figure", "save"]

BLUE, SKY, ORANGE, GREEN = "#0072B2", "#56B4E9", "#D55E00", "#009E73"
PURPLE, AMBER = "#CC79A7", "#E69F00"
RAW = "0.72"
"""Grey of whatever is not cached or teaches nothing."""
DOTS_PER_INCH = 130


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of so many inches; it belongs to no window and needs no closing."""
    return Figure(figsize=(width, height), layout="constrained")


def save(figure: Figure, path: Path) -> Path:
    """Write the figure in the format of the path's ending and return the path.

    It is drawn in memory first, so that a failure leaves no half of a picture. Letters that the font lacks become boxes.
    """
    drawn = BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(drawn, format=path.suffix.lower().removeprefix("."), dpi=DOTS_PER_INCH)
    path.write_bytes(drawn.getvalue())
    return path
