"""The output of long work: one kind of progress bar (tqdm, silent if the output is not a terminal), and lines for people."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any, Self

from tqdm import tqdm

from ..errors import one_line
from .printing import say

Log = Callable[[str], None]
"""A function that takes a line for people; the command line prints it."""


LINE_EVERY = 30.0
"""The seconds between two lines of progress in a file."""


def silent(_line: str) -> None:
    """Drop the line."""


def progress_bar(
    description: str,
    total: int | None,
    unit: str,
    initial: int = 0,
    shown: bool = True,
    scaled: bool = False,
    lines: bool = False,
) -> Any:
    """Return a tqdm bar on standard error, disabled if `shown` is false or standard error is not a terminal.

    With `scaled` it shows numbers as kB, MB and so on. With `lines` it is a line every 30 seconds where it cannot be a bar.
    """
    if lines and shown and not sys.stderr.isatty():
        return ProgressLines(description, total, unit, initial, scaled)
    return tqdm(
        total=total,
        initial=initial,
        desc=one_line(description),
        unit=unit,
        unit_scale=scaled,
        dynamic_ncols=True,
        disable=not (shown and sys.stderr.isatty()),
        file=sys.stderr,
    )


class ProgressLines:
    """Says how far long work is, in a line every LINE_EVERY seconds on standard error, with the methods of a bar."""

    disable = False

    def __init__(self, description: str, total: int | None, unit: str, initial: int, scaled: bool) -> None:
        self.n, self._total, self._description = initial, total, description
        self._unit, self._scaled, self._said = unit, scaled, monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def update(self, count: int = 1) -> None:
        """Add to what is done."""
        self.n += count
        if monotonic() - self._said >= LINE_EVERY:
            self._said = monotonic()
            of = "" if self._total is None else f" of {self._text(self._total)}"
            say(f"{self._description}: {self._text(self.n)}{of}", err=True)

    def _text(self, count: int) -> str:
        return size_text(count) if self._scaled else f"{count:,} {self._unit}s"


def duration(seconds: float) -> str:
    """Return a duration as text, in seconds, minutes or hours by its length."""
    if seconds < 100:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def size_text(count: float) -> str:
    """Return bytes for people, with three digits: `3.14 MB`, `1,234 TB`."""
    unit, name = next((pair for pair in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB")) if count >= pair[0]), (1e3, "kB"))
    return f"{count / unit:.3g} {name}" if count < 1000 * unit else f"{count / unit:,.0f} {name}"


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Let transformers log only errors inside the block, and draw its own bars only on a terminal.

    Its warnings about tied heads while loading and saving do not matter here, because the tensors decide the tie.
    """
    from transformers.utils import logging

    verbosity = logging.get_verbosity()
    bars = logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    if not sys.stderr.isatty():
        logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
