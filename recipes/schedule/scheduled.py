"""A schedule on disk, and how it shows itself."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from ...errors import one_line
from ...runtime.showing import Shown, Table, heading
from .record import CandidateRecord, ScheduleRecord

ASSISTANT, TARGET, CANDIDATES = "assistant", "target", "candidates"
"""The folders of the chosen candidate, of the target, and of all candidates."""
HEADER = (
    "keep",
    "heads",
    "d_ff",
    "parameters",
    "size",
    "GFLOPs",
    "held-out nats",
    "score",
    "score + lambda (1 - size)",
)


@dataclass(frozen=True, slots=True, repr=False)
class Schedule(Shown):
    """The candidates that learned together, and the assistant that was chosen among them."""

    path: Path
    record: ScheduleRecord
    """The content of schedule.json."""

    @property
    def assistant(self) -> Path:
        """The folder of the assistant, which can dump the next cache."""
        return self.path / ASSISTANT

    @property
    def target(self) -> Path:
        """The folder of the candidate at which the last student starts."""
        return self.path / TARGET

    def lines(self) -> Iterator[str]:
        """Yield the table of candidates, and the lambdas at which the choice changes."""
        yield self._title()
        yield from self._table().lines()
        yield choice_text(self.record)

    def html(self) -> Iterator[str]:
        """Yield the same for a notebook."""
        yield heading(self._title())
        yield self._table().html()
        yield heading(choice_text(self.record))

    def _title(self) -> str:
        return f"schedule {one_line(str(self.path))}: {len(self.record.candidates)} candidates by {self.record.score}"

    def _table(self) -> Table:
        return Table(HEADER, [cells(one) for one in self.record.candidates])


def cells(one: CandidateRecord) -> list[str]:
    """Return the cells of a candidate under HEADER."""
    return [
        f"{one.keep:g}",
        str(one.heads),
        f"{one.d_ff:,}",
        f"{one.parameters:,}",
        f"{one.size:.3f}",
        f"{one.gflops:.3g}",
        f"{one.cross_entropy:.4f}",
        f"{one.score:.4f}",
        f"{one.tradeoff:.4f}",
    ]


def choice_text(record: ScheduleRecord) -> str:
    """Return the choice and how firm it is, such as

    lambda 0.2 chooses keep 0.3; 0.5 below lambda 0.12, 0.3 from 0.12 to 0.31, 0.1 above 0.31
    """
    ends = [*(one.start for one in record.reigns), math.inf]
    parts = []
    for one, (start, end) in zip(record.reigns, pairwise(ends), strict=True):
        above = f"above {start:.3g}" if math.isinf(end) else f"from {start:.3g} to {end:.3g}"
        if not start:
            above = "for every lambda" if math.isinf(end) else f"below lambda {end:.3g}"
        parts.append(f"{one.keep:g} {above}")
    return f"lambda {record.tradeoff:g} chooses keep {record.assistant:g}; {', '.join(parts)}"
