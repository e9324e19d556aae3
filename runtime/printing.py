"""The one place where lines are printed: names of teachers, corpora and files are not ours, and must not act on a terminal."""

import io
import json
import sys
from typing import Any

from ..errors import one_line


def say(line: str, err: bool = False) -> None:
    """Print one line for people, on standard output or standard error.

    What does not print is spelled as in Python, so that a name can neither write a line of its own nor speak to the terminal.
    """
    print(one_line(line), file=sys.stderr if err else sys.stdout, flush=True)


def say_json(value: Any) -> None:
    """Print one JSON value over several lines. JSON escapes in ASCII what a name holds."""
    print(json.dumps(value, indent=2), flush=True)


def allow_any_encoding() -> None:
    """Let standard output spell what its encoding lacks, as standard error does; a terminal may know ASCII only."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
