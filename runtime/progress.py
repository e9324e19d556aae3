"""The output of long work: one kind of progress bar (tqdm, silent if the output is not a terminal), and lines for people."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm

from ..errors import one_line

Log = Callable[[str], None]
"""A function that takes a line for people; the command line prints it."""


def silent(_line: str) -> None:
    """Drop the line."""


def progress_bar(
    description: str, total: int | None, unit: str, initial: int = 0, shown: bool = True, scaled: bool = False
) -> Any:
    """Return a tqdm bar on standard error, disabled if `shown` is false or standard error is not a terminal.

    With `scaled` it shows numbers as kB, MB and so on.
    """
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
