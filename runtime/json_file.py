"""Read JSON files that somebody else may have written: none is read beyond a limit, and everything wrong is one kind of error."""

import json
import stat
from pathlib import Path
from typing import Any

LARGEST = 2**28
"""The most bytes of a record; predictions with their texts are the longest."""


def read_json(path: Path, most: int = LARGEST) -> Any:
    """Return the JSON value in a file.

    Raises OSError if it cannot be read, and ValueError if it is not a file of at most `most` bytes of JSON.
    """
    status = path.stat()
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):  # a pipe would wait for its writer
        raise ValueError("it is not a regular file")
    if status.st_size > most:
        raise ValueError(f"expected at most {most:,} bytes, found {status.st_size:,}")
    return parse_json(path.read_text(encoding="utf-8"))


def parse_json(text: str | bytes) -> Any:
    """Return the value of a JSON text. Raises ValueError, also for one that is nested too deeply."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
