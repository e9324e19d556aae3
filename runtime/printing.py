"""The one place where lines are printed, by their level, in at most WIDTH columns, and without tearing a progress bar.

Names of teachers, corpora and files are not ours, and must not act on a terminal. A line says by its class when it is shown:

    Verdict, Result     always                 what the command was run for; a verdict is bold in a terminal
    `warning: ...`      always                 a warning is never lost; yellow in a terminal
    str                 unless --quiet         what is going on
    Detail              only with --verbose    what helps to understand a problem; on standard error
"""

import io
import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from enum import IntEnum
from textwrap import wrap
from threading import RLock
from typing import Any, TextIO

from ..errors import ConfigurationError, one_line

WIDTH = 100
"""The most columns of a line that we print; only a word that is longer, such as a path, exceeds it."""
NARROWEST = 40
"""The fewest columns that lines are wrapped to."""
WARNING, ERROR = "warning:", "miniend:"
"""The beginnings of warnings and of errors."""
COMMAND = "miniend "
"""The beginning of a line that people paste into a shell."""


_COLUMNS = re.compile(r"\S(?:.{0,9}\S)? {2,12}(?=\S)")
"""A narrow first column of a table."""


class Level(IntEnum):
    """How much is shown."""

    QUIET = 0
    NORMAL = 1
    VERBOSE = 2


class Result(str):
    """A line that a command is run for, which is shown with `--quiet` too."""

    __slots__ = ()


class Verdict(Result):
    """The result in one line."""

    __slots__ = ()


class Detail(str):
    """A line that only `--verbose` shows, on standard error."""

    __slots__ = ()


def reworded(line: str, text: str) -> str:
    """Return another text that is shown at the same level as a line."""
    return type(line)(text)


@contextmanager
def _no_bars(_stream: TextIO) -> Iterator[None]:
    yield


class _Output:
    """The state of the output of this process."""

    level = Level.NORMAL
    lock = RLock()
    beside_bars: Callable[[TextIO], AbstractContextManager[None]] = staticmethod(_no_bars)
    """Inside the block that this opens, a line can be written to the stream without tearing a progress bar."""


def level() -> Level:
    """Return how much is shown."""
    return _Output.level


def set_level(chosen: Level) -> None:
    """Choose how much is shown from now on."""
    _Output.level = chosen


@contextmanager
def level_kept(chosen: Level) -> Iterator[None]:
    """Inside of the block, show this much."""
    before = level()
    set_level(chosen)
    try:
        yield
    finally:
        set_level(before)


def chosen_level(quiet: bool, verbose: bool) -> Level:
    """Return the level of the two options. Raises ConfigurationError for both."""
    if quiet and verbose:
        raise ConfigurationError("--quiet and --verbose contradict each other; give one of them")
    return Level.QUIET if quiet else Level.VERBOSE if verbose else Level.NORMAL


def write_beside(bars: Callable[[TextIO], AbstractContextManager[None]]) -> None:
    """Let lines be written inside of such a block from now on, because there are progress bars."""
    _Output.beside_bars = staticmethod(bars)


def tell(line: str, err: bool = False) -> None:
    """Print a line of a command's log, if this level shows it."""
    detail = isinstance(line, Detail)
    always = isinstance(line, Result) or line.lstrip().startswith(WARNING)
    least = Level.VERBOSE if detail else Level.QUIET if always else Level.NORMAL
    if _Output.level >= least:
        _print(line, err or detail, wrapped=True)


def say(line: str, err: bool = False) -> None:
    """Print a line for people at every level, on standard output, or in one line on standard error.

    What does not print is spelled as in Python, so that a name can neither write a line of its own nor speak to the terminal.
    """
    _print(line, err, wrapped=not err)


def say_json(value: Any) -> None:
    """Print one JSON value over several lines. JSON escapes in ASCII what a name holds."""
    print(json.dumps(value, indent=2), flush=True)


def allow_any_encoding() -> None:
    """Let standard output spell what its encoding lacks, as standard error does; a terminal may know ASCII only."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def is_terminal(stream: TextIO) -> bool:
    """Return whether a stream is a terminal that can move its cursor."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def fitted(line: str, width: int = WIDTH) -> list[str]:
    """Return a line as lines of at most `width` columns, where its words allow it. A command goes on after a backslash."""
    if len(line) <= width:
        return [line]
    columns = _COLUMNS.match(line)
    hanging = " " * (len(columns[0]) if columns else len(line) - len(line.lstrip()) + 2)
    if line.lstrip().startswith(COMMAND):
        return _command(line, hanging + "  ", width)
    return wrap(
        line,
        width,
        subsequent_indent=hanging,
        break_long_words=False,
        break_on_hyphens=False,
        expand_tabs=False,
        replace_whitespace=False,
    )


def _command(line: str, hanging: str, width: int) -> list[str]:
    """Return the lines of a command, broken before options, each with a backslash except the last."""
    first, *options = line.split(" --")
    lines = [first]
    for option in options:
        if len(lines[-1]) + len(option) + 5 > width:  # " --" before it, " \" after it
            lines[-1] += " \\"
            lines.append(f"{hanging}--{option}")
        else:
            lines[-1] += f" --{option}"
    return lines


def _print(line: str, err: bool, wrapped: bool) -> None:
    stream = sys.stderr if err else sys.stdout
    text, terminal = one_line(line), is_terminal(stream)
    lines = fitted(text, _columns(stream) if terminal else WIDTH) if wrapped else [text]
    if terminal and not os.environ.get("NO_COLOR"):
        lines = [_coloured(each, line, err) for each in lines]
    with _Output.lock, _Output.beside_bars(stream):
        print("\n".join(lines) + "\n", end="", file=stream, flush=True)


def stated_columns(stream: TextIO) -> int | None:
    """Return how many columns a terminal says that it has: 0 for one without a window, as in CI; None for another stream."""
    try:
        return os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):
        return None


def _columns(terminal: TextIO) -> int:
    """Return the columns to fill of a terminal; one that does not know its size has WIDTH."""
    known = stated_columns(terminal)
    return min(WIDTH, max(NARROWEST, known)) if known else WIDTH


def _coloured(text: str, line: str, err: bool) -> str:
    from click import style

    if line.lstrip().startswith(WARNING):
        return style(text, fg="yellow")
    if err and line.startswith(ERROR):
        return style(text, fg="red")
    return style(text, bold=True) if isinstance(line, Verdict) else text
