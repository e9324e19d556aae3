"""The results of a comparison as a Python program gets them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ...runtime.showing import Shown, Table, heading
from .report.results import SCORE, VALIDATION, Results, mean_and_spread


@dataclass(frozen=True, slots=True, repr=False)
class Comparison(Shown):
    """A comparison in its output directory, as far as it has come."""

    path: Path
    results: Results
    """The results by row, size and seed."""

    @property
    def report(self) -> Path:
        """The report, a page for a browser."""
        return self.path / "report.html"

    def lines(self) -> Iterator[str]:
        """Yield the table of results."""
        yield f"comparison {self.path}"
        yield from self._table().lines()

    def html(self) -> Iterator[str]:
        """Yield the table for a notebook."""
        yield heading(f"comparison {self.path}")
        yield self._table().html()

    def _table(self) -> Table:
        """Return mean and standard deviation over seeds by student."""
        columns = [VALIDATION, SCORE, *self.results.columns]
        outcomes = (*self.results.assistants, *self.results.students)
        rows = [
            [outcome.student.label, *(_cell(mean_and_spread(outcome.column(column))) for column in columns)]
            for outcome in outcomes
        ]
        filled = [i for i in range(len(columns) + 1) if i == 0 or any(row[i] != "-" for row in rows)]
        header = ["student", *columns]
        return Table([header[i] for i in filled], [[row[i] for i in filled] for row in rows])


def _cell(found: tuple[float, float | None] | None) -> str:
    if found is None:
        return "-"
    mean, spread = found
    return f"{mean:.3f}" + ("" if spread is None else f" ± {spread:.3f}")
