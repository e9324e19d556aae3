"""SIGINT and SIGTERM as exceptions in the main thread, so that a command unwinds, says a line and ends.

SIGTERM is what machines that may be taken away send some seconds before they go.
"""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread
from time import monotonic
from types import FrameType
from typing import Any

REPEATED = 1.0
"""Seconds within which a further signal counts as the same one: launchers pass on what the terminal has sent already."""


class Terminated(KeyboardInterrupt):
    """SIGTERM; whatever is ready for an interrupt is ready for this."""


EXCEPTIONS: dict[signal.Signals, type[KeyboardInterrupt]] = {
    signal.SIGINT: KeyboardInterrupt,
    signal.SIGTERM: Terminated,
}


@contextmanager
def stoppable() -> Iterator[None]:
    """Inside, SIGINT raises KeyboardInterrupt and SIGTERM raises Terminated; a signal that was ignored stays so.

    The handlers from before are put back at the end. Only where one of the two exceptions leaves the block are both signals
    ignored from then on: the process is about to end, and nothing is left to interrupt. Does nothing outside the main thread.
    """
    if current_thread() is not main_thread():
        yield
        return
    raising = _raising()
    before = {number: signal.getsignal(number) for number in EXCEPTIONS}
    changed = [number for number, handler in before.items() if handler != signal.SIG_IGN]
    after: dict[signal.Signals, Any] = before
    for number in changed:
        signal.signal(number, raising)
    try:
        yield
    except KeyboardInterrupt:
        after = dict.fromkeys(EXCEPTIONS, signal.SIG_IGN)
        raise
    finally:
        for number in changed:
            signal.signal(number, after[number])


class _HeldBack:
    """What the main thread is inside of, and the signal that waits for its end."""

    depth = 0
    waiting: type[KeyboardInterrupt] | None = None


@contextmanager
def held_back(unless: type[Exception] | tuple[()] = ()) -> Iterator[None]:
    """Inside, a signal waits for the end of the block; for work of a moment that must not be left halfway.

    Zarr's calls are such: an event loop in another thread would go on with what the interrupted one cleans up. An exception of
    type `unless` that leaves the block is raised in the signal's place: where it ends the command, it must not go unsaid. Does
    nothing outside the main thread, which alone is interrupted.
    """
    if current_thread() is not main_thread():
        yield
        return
    _HeldBack.depth += 1
    try:
        yield
    except unless:
        _HeldBack.waiting = None
        raise
    finally:
        _HeldBack.depth -= 1
        if not _HeldBack.depth and (waiting := _HeldBack.waiting):
            _HeldBack.waiting = None
            raise waiting


def _raising() -> Callable[[int, FrameType | None], None]:
    """A handler that raises, now or at the end of what is held back, but not again for a repeated signal."""
    last = -REPEATED

    def handle(number: int, _frame: FrameType | None) -> None:
        nonlocal last
        previous, last = last, monotonic()
        if last - previous < REPEATED:
            return
        if not _HeldBack.depth:
            raise EXCEPTIONS[signal.Signals(number)]
        _HeldBack.waiting = EXCEPTIONS[signal.Signals(number)]

    return handle


def stop_requested() -> bool:
    """Whether a signal waits for the end of what is held back."""
    return _HeldBack.waiting is not None
