"""Results as people see them: lines in a console, small tables in a notebook.

The tables take the colours of the page that they are on, so they can be read on a dark one too.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape

from ..errors import one_line

CHART = (320, 90)
"""Width and height of a chart, in pixels."""
Points = Sequence[tuple[float, float]]


class Shown:
    """A result that shows itself: `lines` for a console, `html` for a notebook."""

    __slots__ = ()

    def lines(self) -> Iterable[str]:
        """Return the lines for a console."""
        raise NotImplementedError

    def html(self) -> Iterable[str]:
        """Return pieces of HTML for a notebook."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return "\n".join(map(one_line, self.lines()))

    def _repr_html_(self) -> str:
        return "<div>" + "".join(self.html()) + "</div>"


@dataclass(frozen=True, slots=True)
class Table:
    """A table; all columns but the first are numbers, unless it is `words`."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: bool = False

    def html(self) -> str:
        """Return the table as HTML."""
        head = self._row(self.header, "th") if any(self.header) else ""
        return f"<table>{head}{''.join(self._row(row, 'td') for row in self.rows)}</table>"

    def lines(self) -> Iterator[str]:
        """Yield the table as lines with aligned columns."""
        rows = [row for row in (self.header, *self.rows) if any(row)]
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        for row in rows:
            cells = (
                cell.ljust(width) if self.words or i == 0 else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
            yield "  ".join(cells).rstrip()

    def _row(self, cells: Sequence[str], tag: str) -> str:
        styles = ("left" if self.words or i == 0 else "right" for i in range(len(cells)))
        inner = "".join(
            f'<{tag} style="text-align:{side}">{_text(cell)}</{tag}>' for cell, side in zip(cells, styles, strict=True)
        )
        return f"<tr>{inner}</tr>"


def heading(text: str) -> str:
    """Return a heading as HTML."""
    return f"<div><b>{_text(text)}</b></div>"


def facts(pairs: Iterable[tuple[str, str]]) -> Table:
    """Return a table of names and values."""
    return Table(("", ""), [*pairs], words=True)


def chart(lines: dict[str, Points]) -> str:
    """Return a small chart of some lines as SVG, the first one full and the others dashed; empty if there is nothing to draw."""
    drawn = {name: points for name, points in lines.items() if len(points) > 1}
    every = [point for points in drawn.values() for point in points]
    if not every:
        return ""
    (left, right), (low, high) = ((min(values), max(values)) for values in zip(*every, strict=True))
    width, height = CHART

    def place(point: tuple[float, float]) -> str:
        x = 5 + (width - 10) * (point[0] - left) / ((right - left) or 1)
        y = 5 + (height - 10) * (high - point[1]) / ((high - low) or 1)
        return f"{x:.1f},{y:.1f}"

    dashes = ["none", *["4 3"] * (len(drawn) - 1)]
    paths = "".join(
        f'<polyline points="{" ".join(map(place, points))}" fill="none" stroke="currentColor" stroke-width="1.5" '
        f'stroke-dasharray="{dash}"/>'
        for points, dash in zip(drawn.values(), dashes, strict=True)
    )
    names = ", dashed: ".join(drawn)
    caption = f"{names}; {high:.3g} to {low:.3g} over steps {left:,.0f} to {right:,.0f}"
    return (
        f'<svg width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img">{paths}</svg>'
        f"<div><small>{_text(caption)}</small></div>"
    )


def _text(text: str) -> str:
    return escape(one_line(text))
