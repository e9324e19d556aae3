"""Requests to an object store: each has a time limit, is tried again after a moment's trouble, and ends when a signal asks.

obstore's own calls keep a thread deaf to signals until they return, and try again without a word. So we run its coroutines in an
event loop of our own, and wait for them in small steps.
"""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import wait
from functools import cache
from time import monotonic, sleep
from typing import Any, TypeVar, cast

from ...runtime.printing import say
from ...runtime.stopping import raise_if_asked

SECONDS = 20.0
"""The longest silence of a store: without the beginning of an answer, or between two pieces of one."""
SLOWEST = 100_000
"""The bytes a second that an upload must reach."""
PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0)
"""The seconds of rest before each further attempt."""
PATIENCE = 1.0
"""The seconds that a request may still take after a signal has asked for an end."""
POLL = 0.1
SECONDS_BETWEEN_LINES = 1.0
MOMENTARY = (
    "error sending request",
    "request or response body error",
    "Got invalid",  # a listing that was cut off
    "429 Too Many Requests",
    "500 Internal Server Error",
    "502 Bad Gateway",
    "503 Service Unavailable",
    "504 Gateway Timeout",
    "RequestTimeout",
    "SlowDown",
)
"""Texts in the messages of obstore after which the same request may succeed."""
NO_CREDENTIALS = ("169.254.169.254", "metadata.google.internal", "must be specified")
"""Texts in the messages of obstore if it does not find a key, and then asks the machine itself who it is, or gives up."""
T = TypeVar("T")


class Requests:
    """The requests of one store; any thread may make them.

    `momentary` says after which errors the same request may succeed, and `pauses` how long we rest before each attempt. Without
    them we take what fits obstore.
    """

    def __init__(
        self,
        url: str,
        momentary: Callable[[Exception], bool] | None = None,
        pauses: Sequence[float] | None = None,
    ) -> None:
        self._url, self._lock, self._said = url, threading.Lock(), -SECONDS_BETWEEN_LINES
        self._momentary, self._pauses = momentary or is_momentary, pauses

    def ask(self, request: Callable[[], Awaitable[T]]) -> T:
        """Return the answer of a request, which `request` begins anew for each attempt.

        Raises what obstore raises, TimeoutError for a store that is silent, and the KeyboardInterrupt of a signal.
        """
        pauses = PAUSES if self._pauses is None else self._pauses
        for attempt, pause in enumerate(pauses, 1):
            try:
                return _answer(request)
            except Exception as error:
                if not self._momentary(error):
                    raise
                self._say(error, pause, f"{attempt} of {len(pauses)}")
            _rest(pause)
        return _answer(request)

    def _say(self, error: Exception, pause: float, attempt: str) -> None:
        """Say that a request is tried again, in one line for all that fail in the same second."""
        with self._lock:
            if monotonic() - self._said < SECONDS_BETWEEN_LINES:
                return
            self._said = monotonic()
        say(f"{self._url}: {_reason(error)}; trying again in {pause:g} s ({attempt})", err=True)


def is_silence(error: Exception) -> bool:
    """Return whether a store did not answer in time."""
    return isinstance(error, TimeoutError) or "kind: Timeout" in str(error)


def is_momentary(error: Exception) -> bool:
    """Return whether the same request may succeed a moment later."""
    text = str(error)
    if any(sign in text for sign in NO_CREDENTIALS):
        return False
    return isinstance(error, TimeoutError) or any(sign in text for sign in MOMENTARY)


def longest_silence(size: int) -> float:
    """Return the seconds for which a writer that lives may not finish a request, if it puts at most `size` bytes at once."""
    return (len(PAUSES) + 1) * (SECONDS + size / SLOWEST) + sum(PAUSES)


async def within(waited: Awaitable[T], size: int = 0) -> T:
    """Wait for one answer. Raises TimeoutError after SECONDS and the time that the upload of `size` bytes may take."""
    return await asyncio.wait_for(waited, SECONDS + size / SLOWEST)


def in_thread(call: Callable[[], T]) -> Awaitable[T]:
    """Run a blocking call beside the loop. Its thread does not keep the process alive, however long the call takes."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(answer: T | None, error: BaseException | None) -> None:
        if future.cancelled():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(cast(T, answer))

    def run() -> None:
        try:
            answer = call()
        except BaseException as error:
            loop.call_soon_threadsafe(settle, None, error)
        else:
            loop.call_soon_threadsafe(settle, answer, None)

    threading.Thread(target=run, name="request", daemon=True).start()
    return future


async def pieces(stream: AsyncIterator[T]) -> AsyncIterator[T]:
    """Give the pieces of an answer. Raises TimeoutError if one of them does not come."""
    while True:
        try:
            piece = await within(anext(stream))
        except StopAsyncIteration:
            return
        yield piece


def _reason(error: Exception) -> str:
    text = str(error).partition("\n")[0]
    if is_silence(error):
        return "no answer in time"
    if "503" in text or "429" in text or "SlowDown" in text:
        return "the store is busy"
    return "the connection broke" if "error" in text else "the answer was cut off"


def _answer(request: Callable[[], Awaitable[T]]) -> T:
    async def begun() -> T:
        return await request()

    future, start = asyncio.run_coroutine_threadsafe(begun(), _loop(os.getpid())), monotonic()
    while not wait((future,), POLL).done:
        if monotonic() - start >= PATIENCE:  # then we do not cancel: obstore would panic if Python ends at that moment
            raise_if_asked(PATIENCE)
    return future.result()


def _rest(seconds: float) -> None:
    until = monotonic() + seconds
    while (left := until - monotonic()) > 0:
        raise_if_asked()
        sleep(min(POLL, left))


@cache
def _loop(_process: int) -> asyncio.AbstractEventLoop:
    """Return this process's event loop, which runs in a thread until the process ends."""
    loop = asyncio.new_event_loop()

    def run() -> Any:
        asyncio.set_event_loop(loop)
        loop.run_forever()

    threading.Thread(target=run, name="object store", daemon=True).start()
    return loop
