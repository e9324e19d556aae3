"""The blocks of a report. `as_markdown.py` and `as_html.py` write them; texts in them are plain, whoever wrote them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Heading:
    """A title; the report's own has level 1."""

    text: str
    level: int = 2


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Plain text."""

    text: str


@dataclass(frozen=True, slots=True)
class Lead:
    """What the report decides: one sentence that people must not miss, and the reasons."""

    text: str
    reasons: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Bold:
    """A cell that is the best of its column."""

    text: str


Cell = str | Bold


@dataclass(frozen=True, slots=True)
class Table:
    """A header and rows. All rows are as long as the header."""

    header: Sequence[str]
    rows: Sequence[Sequence[Cell]]


@dataclass(frozen=True, slots=True)
class Listing:
    """Names with a text each. Literal texts are shown as they are, such as what a model wrote."""

    entries: Sequence[tuple[str, str]]
    literal: bool = False


@dataclass(frozen=True, slots=True)
class Picture:
    """A .png file in the report's folder."""

    path: Path
    caption: str


Block = Heading | Paragraph | Lead | Table | Listing | Picture


def text_of(cell: Cell) -> str:
    """Return the text of a cell."""
    return cell.text if isinstance(cell, Bold) else cell


def with_best_in_bold(
    rows: Sequence[Sequence[str]], numbers: Sequence[Sequence[float | None]], lower: Sequence[bool]
) -> list[list[Cell]]:
    """Return rows in which the best number of each column is bold, with all its equals; `lower` says where less is better.

    A number that is None does not compete. One competitor is not a best, and neither are competitors that are all equal.
    """
    best: list[float | None] = []
    for column, less in enumerate(lower):
        there = [one for row in numbers if (one := row[column]) is not None]
        best.append((min if less else max)(there) if len(set(there)) > 1 else None)
    return [
        [
            Bold(cell) if value is not None and value == top else cell
            for cell, value, top in zip(row, values, best, strict=True)
        ]
        for row, values in zip(rows, numbers, strict=True)
    ]
