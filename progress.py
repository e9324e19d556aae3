"""One progress bar for all long work: tqdm with rate and time left, silent when the output is not a terminal."""

import sys
from typing import Any

from tqdm import tqdm


def progress_bar(description: str, total: int | None, unit: str, initial: int = 0) -> Any:
    """A tqdm bar on standard error; disabled where standard error is not a terminal."""
    return tqdm(
        total=total,
        initial=initial,
        desc=description,
        unit=unit,
        dynamic_ncols=True,
        disable=not sys.stderr.isatty(),
        file=sys.stderr,
    )
