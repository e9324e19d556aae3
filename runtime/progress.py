"""The progress of long work: a bar in a terminal or a notebook, elsewhere a line every 30 seconds, both on standard error.

    with progress_bar("verify", len(folders), "folder") as bar:
        for folder in folders:
            ...
            bar.update()

Nothing is shown with `--quiet`, nor by other processes of a launcher than the first. A thread shows that the work goes on while
its next update takes long, so also work without numbers (`waiting`) has a line. Bars of libraries are off (`quiet_libraries`).
"""

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Event, RLock, Thread
from time import monotonic
from typing import Any, Self, TextIO

from ..errors import one_line, shortened
from .launcher import is_first
from .printing import WIDTH, Level, is_terminal, level, stated_columns, tell, write_beside

Log = Callable[[str], None]
"""A function that takes a line for people; the command line prints it by its level (`runtime/printing.py`)."""

ROWS = 20
"""The rows of a terminal that says it has none, where tqdm would hide every bar."""
FIRST_AFTER, EVERY = 10.0, 30.0
"""The seconds until the first line of some work, and between two lines."""
BEAT = 1.0
"""The seconds between two looks of the thread."""
LONGEST_DESCRIPTION, LEAST_FACTS = 48, 12
KERNEL = "ipykernel.zmqshell"
"""The module that a notebook's kernel has imported, by which tqdm knows it."""


def silent(_line: str) -> None:
    """Drop the line."""


class Progress:
    """How far one piece of work is. This class shows nothing; those that show it extend it."""

    shown = False

    def __init__(self, initial: int = 0) -> None:
        self.n = initial

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.close(done=kind is None)

    def update(self, count: int = 1, facts: str | None = None) -> None:
        """Add to what is done. `facts` are shown beside it, such as the loss; None keeps the ones before."""
        self.n += count

    def beat(self) -> None:
        """Show that the work goes on."""

    def close(self, done: bool = True) -> None:
        """End it; `done` says whether the work ended well."""


def progress_bar(
    description: str,
    total: int | None,
    unit: str,
    initial: int = 0,
    shown: bool = True,
    scaled: bool = False,
    kept: bool = True,
) -> Progress:
    """Return the progress of some work, whose close must be sure: use it as a context manager.

    With `scaled` numbers are bytes and shown as kB, MB and so on. Without `kept` nothing stays of it at its end.
    """
    if not shown or level() is Level.QUIET or not is_first():
        return Progress(initial)
    text = shortened(description, LONGEST_DESCRIPTION)
    if shows_bars():
        return _Bar(text, total, unit, initial, scaled, kept)
    return _Lines(text, total, unit, initial, scaled, kept)


def waiting(description: str, shown: bool = True) -> Progress:
    """Return the progress of work that does not have numbers, such as loading a checkpoint."""
    return progress_bar(description, None, "", shown=shown, kept=False)


def shows_bars() -> bool:
    """Return whether progress is shown in bars here, and not in lines or not at all."""
    return level() is not Level.QUIET and is_first() and (is_terminal(sys.stderr) or KERNEL in sys.modules)


class _Alive:
    """The works in progress, the innermost last, and the thread that lets the innermost one beat."""

    works: list[Progress] = []  # noqa: RUF012
    lock = RLock()
    ended: Event | None = None


def _begin(work: Progress) -> None:
    with _Alive.lock:
        _Alive.works.append(work)
        if _Alive.ended is None:
            _Alive.ended = Event()
            Thread(target=_beat, args=(_Alive.ended,), name="progress", daemon=True).start()


def _end(work: Progress) -> None:
    with _Alive.lock:
        if work in _Alive.works:
            _Alive.works.remove(work)
        if not _Alive.works and _Alive.ended is not None:
            _Alive.ended.set()
            _Alive.ended = None


def _beat(ended: Event) -> None:
    while not ended.wait(BEAT):
        with _Alive.lock, suppress(OSError, ValueError):  # nobody reads the output any more
            if _Alive.works and not ended.is_set():
                _Alive.works[-1].beat()


class _Bar(Progress):
    """A bar of tqdm."""

    shown = True

    def __init__(self, text: str, total: int | None, unit: str, initial: int, scaled: bool, kept: bool) -> None:
        super().__init__(initial)
        bar = _tqdm()
        self._still = KERNEL in sys.modules  # a widget is drawn by the browser, which shows no time that passes
        form = None if unit else "{desc}: {elapsed}"
        sized = stated_columns(sys.stderr) != 0
        self._bar = bar(
            total=total,
            initial=initial,
            desc=text,
            unit=unit,
            unit_scale=scaled,
            dynamic_ncols=sized,
            ncols=None if sized else WIDTH,
            nrows=None if sized else ROWS,
            leave=kept,
            file=sys.stderr,
            bar_format=form,
        )
        _begin(self)

    def update(self, count: int = 1, facts: str | None = None) -> None:
        self.n += count
        if facts is not None:
            self._bar.set_postfix_str(one_line(facts), refresh=False)
        self._bar.update(count)

    def beat(self) -> None:
        if not self._still:
            self._bar.refresh()

    def close(self, done: bool = True) -> None:
        _end(self)
        self._bar.close()


def choose_bars_of_a_notebook() -> None:
    """Let tqdm choose its bars quietly, in a notebook and before another library asks it to. Does nothing elsewhere."""
    if KERNEL in sys.modules:
        _chosen_bars()


def _chosen_bars() -> Any:
    with warnings.catch_warnings():
        # tqdm.auto warns of a notebook without ipywidgets, where bars of text do as well
        warnings.simplefilter("ignore")
        from tqdm.auto import tqdm
    return tqdm


def _tqdm() -> Any:
    """Return the class of bars: widgets in a notebook, text in a terminal and in a notebook that does not have widgets."""
    tqdm = _chosen_bars()

    @contextmanager
    def beside(stream: TextIO) -> Iterator[None]:
        with tqdm.external_write_mode(file=stream):
            yield

    write_beside(beside)
    return tqdm


class _Lines(Progress):
    """Lines: the first after FIRST_AFTER seconds, then one every EVERY seconds, and a last one with the whole time.

    Work that ends before its first line leaves none, except with `--verbose`.
    """

    shown = True

    def __init__(self, text: str, total: int | None, unit: str, initial: int, scaled: bool, kept: bool) -> None:
        super().__init__(initial)
        self._text, self._total, self._unit, self._scaled, self._kept = text, total, unit, scaled, kept
        self._initial, self._facts = initial, ""
        self._begun = self._latest = monotonic()
        self._due, self._said = self._begun + FIRST_AFTER, False
        _begin(self)

    def update(self, count: int = 1, facts: str | None = None) -> None:
        self._facts = self._facts if facts is None else facts
        if count:
            self.n += count
            self._latest = monotonic()
        self.beat()

    def beat(self) -> None:
        if monotonic() >= self._due:
            with _Alive.lock:
                now = monotonic()
                if now >= self._due:
                    self._due, self._said = now + EVERY, True
                    self._say(self._line(now - self._begun), self._facts)

    def close(self, done: bool = True) -> None:
        _end(self)
        if self._said or (self._kept and level() is Level.VERBOSE):
            self._say(self._last_line(monotonic() - self._begun, done))
            self._said = False

    def _line(self, seconds: float) -> str:
        made, until = self.n - self._initial, self._latest - self._begun  # a rate is that until the latest update
        rate = made / max(until, 1e-9)
        parts = [self._counts() if self._unit else f"{span(seconds)} so far"]
        if made > 0 and self._unit:
            parts.append(self._rate(rate))
            left = 0.0 if self._total is None else (self._total - self.n) / rate - (seconds - until)
            parts.append(f"{span(left)} left" if left > 0 else f"{span(seconds)} so far")
        elif self._unit:
            parts.append(f"{span(seconds)} so far")
        return ", ".join(parts)

    def _last_line(self, seconds: float, done: bool) -> str:
        if not self._unit:
            return f"{'took' if done else 'stopped after'} {span(seconds)}"
        before = f" ({self._number(self._initial)} were there)" if self._initial else ""
        if done:
            return f"{self._number(self.n)} {self._name(self.n)}".strip() + f"{before} in {span(seconds)}"
        return f"stopped at {self._counts()}{before} after {span(seconds)}"

    def _counts(self) -> str:
        if self._total is None:
            return f"{self._number(self.n)} {self._name(self.n)}".strip()
        return f"{self._number(self.n)} of {self._number(self._total)} {self._name(self._total)}".strip()

    def _number(self, count: int) -> str:
        return size_text(count) if self._scaled else f"{count:,}"

    def _name(self, count: int) -> str:
        """Return the unit in the number of `count`."""
        return "" if self._scaled else counted_unit(self._unit, count)

    def _rate(self, rate: float) -> str:
        if self._scaled:
            return f"{size_text(rate)}/s"
        if rate < 1:
            return f"{span(1 / rate)}/{self._unit}"
        return (
            f"{rate:,.0f} {counted_unit(self._unit, 2)}/s"
            if rate >= 100
            else f"{rate:.2g} {counted_unit(self._unit, 2)}/s"
        )

    def _say(self, numbers: str, facts: str = "") -> None:
        """Print description, numbers and facts; where they are too long for a line, the numbers count most."""
        text = shortened(self._text, WIDTH - len(numbers) - 2)
        line = f"{text}: {numbers}"
        room = WIDTH - len(line) - 2
        tell(f"{line}, {shortened(facts, room)}" if facts and room > LEAST_FACTS else line, err=True)


def counted_unit(unit: str, count: int) -> str:
    """Return a unit in the number of `count`: `step`, `steps`, `batches`."""
    return unit if count == 1 else f"{unit}es" if unit.endswith("ch") else f"{unit}s"


def span(seconds: float) -> str:
    """Return a duration for progress, in two or three digits: `4.2 s`, `43 min`, `5.1 h`, `3.2 days`."""
    if seconds < 100:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    if seconds < 6000:
        return f"{seconds / 60:.2g} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.1f} days"


def duration(seconds: float) -> str:
    """Return a duration as text, in seconds, minutes or hours by its length."""
    if seconds < 100:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def size_text(count: float) -> str:
    """Return bytes for people, with three digits: `3.14 MB`, `1,234 TB`."""
    unit, name = next((pair for pair in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB")) if count >= pair[0]), (1e3, "kB"))
    return f"{count / unit:.3g} {name}" if count < 1000 * unit else f"{count / unit:,.0f} {name}"


def percent(share: float, digits: int = 0) -> str:
    """Return a share in per cent for people: `58 %`."""
    return f"{100 * share:.{digits}f} %"


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Let transformers log only errors and draw no bars inside the block; downloads of the hub keep theirs in a terminal.

    Its warnings about tied heads while loading and saving do not matter here, because the tensors decide the tie.
    """
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled, enable_progress_bars
    from huggingface_hub.utils.tqdm import tqdm as bar_of_hub
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    downloads = not are_progress_bars_disabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()  # of the hub too
    if downloads and shows_bars():
        bar_of_hub.set_lock(_tqdm().get_lock())  # so that its bars and ours do not draw at the same moment
        enable_progress_bars()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
