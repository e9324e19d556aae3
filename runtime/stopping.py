"""Turn signals that ask for an end into exceptions in the main thread, so that a command unwinds, prints a line and ends.

Preemptible machines send SIGTERM some seconds before they go away. A lost terminal sends SIGHUP, schedulers SIGUSR1, SIGUSR2 or
SIGXCPU, as they are told to, before the time of a job is over.
"""

import atexit
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from threading import current_thread, main_thread
from time import monotonic
from types import FrameType
from typing import Any

REPEATED = 2.0
"""Seconds within which a second signal counts as the same one, because launchers repeat what the terminal has sent already."""
TERMINATING = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU)
STOPPING = (signal.SIGINT, *TERMINATING)
GO_ON, START_OVER = "run the same command again to go on", "run the same command again to start over"
"""What a user can do after an end, for commands that continue what is there and for those that do not keep anything."""
KEEP_NOTHING = (
    "completion",
    "demo",
    "dry_run",
    "estimate",
    "filters",
    "inspect",
    "judge-encoder",
    "judge_encoder",
    "prune-teacher",
    "prune_teacher",
    "verify",
)
"""The commands and the Python functions that start over when they are called again."""


class Terminated(KeyboardInterrupt):
    """A signal other than SIGINT. It is a KeyboardInterrupt, so that code that handles an interrupt handles it too."""

    def __init__(self, number: signal.Signals = signal.SIGTERM) -> None:
        super().__init__()
        self.number = number


def advise(text: str) -> None:
    """Set what the line of an end advises from now on: GO_ON unless this is called."""
    _Asked.advice = text


def status_of(run: Callable[[], int]) -> int:
    """Run a command and return its exit status. If a signal stops it, print one line and return 128 + the signal's number."""
    try:
        with stoppable():
            return run()
    except KeyboardInterrupt as stopped:
        number = _number_of(stopped)
        _say(f"{_words(number)}; {_Asked.advice}")
        return 128 + number


def _number_of(stopped: KeyboardInterrupt) -> signal.Signals:
    return stopped.number if isinstance(stopped, Terminated) else signal.SIGINT


def _words(number: signal.Signals) -> str:
    if number == signal.SIGINT:
        return "interrupted"
    return "terminated" if number == signal.SIGTERM else f"terminated by {number.name}"


def _say(line: str) -> None:
    """Print a line, also from a handler that interrupts another print, and after the reader has gone."""
    with suppress(OSError):
        os.write(2, f"miniend: {line}\n".encode())


@contextmanager
def stoppable() -> Iterator[None]:
    """Let SIGINT raise KeyboardInterrupt and the other signals of STOPPING raise Terminated in the block.

    The same signal again, or SIGINT after any other, ends the process at once: a user has lost patience. A signal that was
    ignored stays ignored (nohup ignores SIGHUP); so does a handler that Python did not set and could not put back. The end of the
    block restores the handlers, unless a signal has come, because then the process is about to end. Does nothing outside the
    main thread and inside another such block.
    """
    if current_thread() is not main_thread() or _Asked.inside:
        yield
        return
    _Asked.last, _Asked.inside = None, True
    before = {number: signal.getsignal(number) for number in STOPPING}
    changed = {number: handler for number, handler in before.items() if handler not in (signal.SIG_IGN, None)}
    for number in changed:
        signal.signal(number, _handle)
    try:
        yield
    finally:
        _Asked.inside = False
        if _Asked.last is None:
            for number, handler in changed.items():
                signal.signal(number, handler)


@contextmanager
def interruptible() -> Iterator[None]:
    """The same as `stoppable`, for a call from a user's own program, which goes on afterwards: a script or a notebook.

    Only signals that would end the program take part; a handler of the program stays. The end of the block always restores the
    handlers. A signal other than SIGINT is then sent again, so that it does what it would have done. A second SIGINT raises
    KeyboardInterrupt at once, whatever is being written.
    """
    if current_thread() is not main_thread() or _Asked.inside:
        yield
        return
    ending = {number: signal.getsignal(number) for number in STOPPING}
    ending = {number: one for number, one in ending.items() if one in (signal.SIG_DFL, signal.default_int_handler)}
    _Asked.last, _Asked.inside, _Asked.of_a_command = None, True, False
    for number in ending:
        signal.signal(number, _handle)
    try:
        yield
    except Terminated as stopped:
        _restore(ending)
        signal.raise_signal(stopped.number)
        raise
    finally:
        _restore(ending)
        _Asked.last, _Asked.inside, _Asked.of_a_command = None, False, True
        _HeldBack.depth, _HeldBack.waiting = 0, None


def _restore(handlers: Mapping[signal.Signals, Any]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)


def ignore_signals() -> None:
    """Ignore signals from now on: the work is done, and the interpreter would answer with a traceback.

    Does nothing after a signal that has ended the command: the same one again ends a process that hangs.
    """
    if not _Asked.last:
        _ignore()


def ignore_signals_at_exit() -> None:
    """Ignore signals once the interpreter has waited for all threads, also after a signal that has ended the command.

    From there on, nothing hangs. The interpreter takes its handlers away before it takes down its modules, which takes torch some
    tenths of a second: a launcher that sends its signal twice would kill the process then, and it would end with another status.
    """
    atexit.register(_ignore)


def _ignore() -> None:
    for number in STOPPING:
        signal.signal(number, signal.SIG_IGN)


class _Asked:
    """The last signal that asked for an end inside `stoppable`."""

    last: tuple[KeyboardInterrupt, float] | None = None
    """Its exception and its time, in seconds of the monotonic clock."""
    inside = False
    """Whether the main thread is inside of `stoppable` or `interruptible`."""
    advice = GO_ON
    """What the line of an end advises."""
    of_a_command = True
    """Whether a second SIGINT may end the process, which is one command; a user's own program goes on."""


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


def _handle(number: int, _frame: FrameType | None) -> None:
    """Raise now or at the end of `held_back`, but not again for a repeated signal; end the process for an impatient user.

    A scheduler that sends another signal as the time runs out is not impatient: what saves the work goes on.
    """
    asked, now, which = _Asked.last, monotonic(), signal.Signals(number)
    if asked is not None:
        if now - asked[1] < REPEATED:
            return
        if which == signal.SIGINT and not _Asked.of_a_command:
            raise KeyboardInterrupt
        if which in (signal.SIGINT, _number_of(asked[0])):
            _say(f"{_words(which)} again, so it ends at once; {_Asked.advice}")
            os._exit(128 + number)
        if not _Asked.inside:
            return
    stopped = KeyboardInterrupt() if which == signal.SIGINT else Terminated(which)
    _Asked.last = stopped, now
    if not _HeldBack.depth:
        raise stopped
    _HeldBack.waiting = stopped


def stop_requested() -> bool:
    """Return whether a signal waits for the end of `held_back`."""
    return _HeldBack.waiting is not None
