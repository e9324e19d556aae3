"""Turn signals that ask for an end into exceptions in the main thread, so that a command unwinds, prints a line and ends.

Preemptible machines send SIGTERM some seconds before they go away. A lost terminal sends SIGHUP, schedulers SIGUSR1, SIGUSR2 or
SIGXCPU, as they are told to, before the time of a job is over.
"""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread
from time import monotonic
from types import FrameType
from typing import Any

REPEATED = 1.0
"""Seconds within which a second signal counts as the same one, because launchers repeat what the terminal has sent already."""


TERMINATING = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU)
STOPPING = (signal.SIGINT, *TERMINATING)


class Terminated(KeyboardInterrupt):
    """A signal other than SIGINT. It is a KeyboardInterrupt, so that code that handles an interrupt handles it too."""

    def __init__(self, number: signal.Signals = signal.SIGTERM) -> None:
        super().__init__()
        self.number = number


def how_stopped(stopped: KeyboardInterrupt) -> tuple[str, int]:
    """Return in words what stopped a command, and the exit status that shells give to its signal."""
    if not isinstance(stopped, Terminated):
        return "interrupted", 128 + signal.SIGINT
    by = "" if stopped.number == signal.SIGTERM else f" by {stopped.number.name}"
    return f"terminated{by}", 128 + stopped.number


@contextmanager
def stoppable() -> Iterator[None]:
    """Let SIGINT raise KeyboardInterrupt and the other signals of STOPPING raise Terminated in the block.

    A signal that was ignored stays ignored (nohup ignores SIGHUP); so does a handler that Python did not set and could not put
    back. The end of the block restores the handlers. If one of the two exceptions leaves the block, all these signals are ignored
    from then on, because the process is about to end. Does nothing outside the main thread.
    """
    if current_thread() is not main_thread():
        yield
        return
    raising = _raising()
    before = {number: signal.getsignal(number) for number in STOPPING}
    _Asked.last = None
    changed = [number for number, handler in before.items() if handler not in (signal.SIG_IGN, None)]
    after: dict[signal.Signals, Any] = before
    for number in changed:
        signal.signal(number, raising)
    try:
        yield
    except KeyboardInterrupt:
        after = dict.fromkeys(STOPPING, signal.SIG_IGN)
        raise
    finally:
        _Asked.last = None
        for number in changed:
            signal.signal(number, after[number])


class _Asked:
    """The last signal that asked for an end inside `stoppable`."""

    last: tuple[KeyboardInterrupt, float] | None = None
    """Its exception and its time, in seconds of the monotonic clock."""


def raise_if_asked(patience: float = 0.0) -> None:
    """Raise the exception of a signal that asked for an end at least `patience` seconds ago; any thread may call this.

    What waits for something outside of this process calls it again and again, because `held_back` and other threads do not
    hear signals.
    """
    if (asked := _Asked.last) and monotonic() - asked[1] >= patience:
        raise asked[0]


class _HeldBack:
    """The state of `held_back` in the main thread."""

    depth = 0
    """The number of blocks that the main thread is inside of."""
    waiting: KeyboardInterrupt | None = None
    """The exception of a signal that waits for the end of the outermost block."""


@contextmanager
def held_back(unless: type[Exception] | tuple[()] = ()) -> Iterator[None]:
    """Let signals wait for the end of the block, which is short work that must not be left halfway.

    Calls of Zarr are an example: after an interrupt, its event loop in another thread would go on with files that the main thread
    cleans up. An exception of type `unless` that leaves the block replaces the signal, because an error that ends the command
    must be shown. Does nothing outside the main thread, since signals interrupt only that one.
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
    """Return a handler that raises now or at the end of `held_back`, but not again for a repeated signal."""
    last = -REPEATED

    def handle(number: int, _frame: FrameType | None) -> None:
        nonlocal last
        previous, last = last, monotonic()
        if last - previous < REPEATED:
            return
        stopped = KeyboardInterrupt() if number == signal.SIGINT else Terminated(signal.Signals(number))
        _Asked.last = stopped, last
        if not _HeldBack.depth:
            raise stopped
        _HeldBack.waiting = stopped

    return handle


def stop_requested() -> bool:
    """Return whether a signal waits for the end of `held_back`."""
    return _HeldBack.waiting is not None
