"""The help of the commands: 80 to 120 columns, as wide as the terminal; what matters first, and everything on request.

`--help` explains the options that a user changes first, and lists the names of all others. `--help-all` explains every option.
"""

import shutil
from collections.abc import Iterable, Iterator, Sequence
from textwrap import wrap

from .entries import Entry
from .options import SECTIONS

NARROWEST, WIDEST = 80, 120
"""The bounds of the help's columns: wider lines are hard to read, narrower ones break the examples."""
INDENT, HELP_COLUMN = 2, 28
FEW = 12
"""The number of options up to which `--help` explains all of them."""


def width() -> int:
    """Return the columns of the help in this terminal; the narrowest where it does not go to one."""
    return min(max(shutil.get_terminal_size((NARROWEST, 24)).columns, NARROWEST), WIDEST)


def command_lines(
    path: str, texts: Iterable[str], entries: Sequence[Entry], examples: Iterable[str], every: bool
) -> Iterator[str]:
    """Yield the lines of a command's help. With `every`, or where there are few options, each option is explained."""
    places = "".join(f" {entry.flag}" for entry in entries if entry.declared.positional)
    yield from (f"Usage: {path}{places} [OPTIONS]", "")
    for text in filter(None, texts):
        yield from (*wrapped(text, INDENT), "")
    named = []
    for section in SECTIONS:
        own = sorted((one for one in entries if one.declared.section == section), key=_shown_late)
        if own and (every or len(entries) <= FEW or section == SECTIONS[0]):
            yield from (f"{section.capitalize()}:", *(line for entry in own for line in _explained(entry)), "")
        elif own:
            named.append((section.capitalize(), own))
    if named:
        yield from wrapped(f"More options, which `{path} --help-all` explains:", 0)
        for heading, own in named:
            yield from row(f"  {heading}", ", ".join(one.shown_flag for one in own))
        yield ""
    yield from ("Examples:", *examples)


def _shown_late(entry: Entry) -> tuple[bool, bool]:
    """Return whether an option comes late in its section: what must be given comes first, and switches come last."""
    return not entry.required, entry.shape.type is bool


def _explained(entry: Entry) -> list[str]:
    """Return the lines on one option: the flag, then its sentence, its choices and its default."""
    return row(" " * INDENT + entry.written, f"{entry.declared.help} [{entry.allowed}]")


def row(left: str, text: str, column: int = HELP_COLUMN) -> list[str]:
    """Return the lines of a text in the right column, beside the left one, or below it if that is too long."""
    lines = wrapped(text, column)
    if len(left) + 2 > column:
        return [left, *lines]
    return [left.ljust(column) + lines[0].lstrip(), *lines[1:]]


def wrapped(text: str, indent: int) -> list[str]:
    """Return the lines of a text."""
    space = " " * indent
    return wrap(
        text, width(), initial_indent=space, subsequent_indent=space, break_on_hyphens=False, break_long_words=False
    )
