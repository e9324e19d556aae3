"""An iterator that runs in a thread, a few items in advance."""

import queue
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Generic, TypeVar

AHEAD = 2
"""The number of items kept ready. It is small, because a step of a large teacher takes a hundred megabytes."""

T = TypeVar("T")


class Prefetcher(Generic[T]):
    """Runs an iterator in a thread, AHEAD items in advance. `next` raises the iterator's end and its errors."""

    def __init__(self, items: Iterator[T]) -> None:
        self._queue: queue.Queue[Any] = queue.Queue(maxsize=AHEAD)
        self._stop = threading.Event()
        self._items = items
        self._ended: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="loader", daemon=True)
        self._thread.start()

    def __iter__(self) -> "Prefetcher[T]":
        return self

    def __next__(self) -> T:
        if self._ended is None:
            kind, item = self._queue.get()
            if kind == "item":
                taken: T = item
                return taken
            self._ended = item
        raise self._ended

    def close(self) -> None:
        """Stop the thread, and close the iterator if it has a `close`."""
        self._stop.set()
        with suppress(ValueError):  # the generator is running, and the thread will close it
            self._close_items()
        self._thread.join()

    def _close_items(self) -> None:
        if hasattr(self._items, "close"):
            self._items.close()

    def _work(self) -> None:
        try:
            for item in self._items:
                if not self._put("item", item):
                    break
            else:
                self._put("end", StopIteration())
        except BaseException as error:  # `__next__` raises it
            self._put("end", error)
        finally:
            self._close_items()

    def _put(self, kind: str, item: Any) -> bool:
        while not self._stop.is_set():
            try:
                self._queue.put((kind, item), timeout=0.2)
            except queue.Full:
                continue
            return True
        return False
