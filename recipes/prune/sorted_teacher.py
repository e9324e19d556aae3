"""A sorted teacher on disk, as prune-teacher leaves it, and how it shows itself."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ...errors import one_line
from ...runtime.showing import Shown, Table, heading
from .record import PruningRecord, Row

HEADER = ("keep", "heads", "d_ff", "parameters", "without embeddings", "GFLOPs", "held-out nats")


@dataclass(frozen=True, slots=True, repr=False)
class SortedTeacher(Shown):
    """A checkpoint of the teacher's size whose heads and neurons are sorted, the most important first."""

    path: Path
    pruning: PruningRecord
    """The content of pruning.json: orders, scores, and the table of keep fractions."""

    def __fspath__(self) -> str:
        """Let it be given where a path is expected."""
        return str(self.path)

    def lines(self) -> Iterator[str]:
        """Yield what it is and the table of keep fractions."""
        yield self._title()
        yield from self._table().lines()

    def html(self) -> Iterator[str]:
        """Yield the same for a notebook."""
        yield heading(self._title())
        yield self._table().html()

    def _title(self) -> str:
        pruning = self.pruning
        return (
            f"sorted teacher {one_line(str(self.path))}: {pruning.importance} importance of {len(pruning.examples):,} examples, "
            f"held-out loss of {pruning.validation_examples} others before any training"
        )

    def _table(self) -> Table:
        return Table(HEADER, [cells(row) for row in self.pruning.table])


def cells(row: Row) -> list[str]:
    """Return the cells of a row under HEADER."""
    return [
        f"{row.keep:g}",
        str(row.heads),
        f"{row.d_ff:,}",
        f"{row.parameters:,}",
        f"{row.parameters_without_embeddings:,}",
        f"{row.gflops:.3g}",
        "-" if row.cross_entropy is None else f"{row.cross_entropy:.4f}",
    ]
