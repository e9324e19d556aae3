"""Threads read examples ahead of their turn, in bounded memory.

The threads read loads in the order in which they are due, as room allows. A load that the consumer waits for is read even
without room. If the records then exceed the budget, we drop those that are needed last and read them again later. So the budget
holds even if sizes were guessed wrongly, and nobody waits for ever.
"""

import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from heapq import heappop, heappush

import numpy as np

from .order import Integers, Load, Visits

READERS = 4
"""The number of reading threads."""
HELD = 200
"""The bytes that Python needs to hold a record, in addition to the record."""

Read = Callable[[int, Integers], list[bytes]]
"""(shard, places in it) -> records."""


class Buffer:
    """The records of the coming visits. The first `take` starts the threads; `close` ends them."""

    def __init__(self, visits: Visits, read: Read, readers: int = READERS) -> None:
        layout = visits.layout
        self.visits, self._read, self._budget = visits, read, layout.budget
        self._guess = layout.costs / np.array(layout.examples)
        self._resident = layout.resident
        self._loads = iter(visits.loads())
        self._waiting: list[tuple[int, int, Load]] = []
        self._pushed = 0
        self._held: dict[int, bytes] = {}
        self.bytes = 0
        """The bytes of all records held, including what Python needs to hold them."""
        self.most_bytes = 0
        """The largest value of `bytes` so far."""
        self._reading = 0.0
        self._wanted: int | None = None
        self._error: BaseException | None = None
        self._closed = False
        self._changed = threading.Condition()
        self._fetch()
        self._threads = [threading.Thread(target=self._work, name="reader", daemon=True) for _ in range(readers)]
        self._started = False

    def take(self, visits: Integers) -> list[bytes]:
        """Wait for the records of these visits and return them.

        Each visit can be taken once, and the visits of one example in the order of epochs. Raises the error of a thread that
        failed to read, and RuntimeError if the buffer is closed.
        """
        with self._changed:
            self._start()
            records = {visit: self._take(visit) for visit in sorted(visits.tolist())}
            self._changed.notify_all()
        return [records[visit] for visit in visits.tolist()]

    def stop(self) -> None:
        """Make a thread that waits for records give up with RuntimeError; any thread may call this."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def close(self) -> None:
        """End the threads; a thread that is reading finishes its shard first."""
        self.stop()
        for thread in self._threads if self._started else []:
            thread.join()

    def _start(self) -> None:
        if not (self._started or self._closed):
            self._started = True
            for thread in self._threads:
                thread.start()

    def _take(self, visit: int) -> bytes:
        while visit not in self._held:
            if self._error is not None:
                raise self._error
            if self._closed:
                raise RuntimeError("the buffer is closed")
            self._wanted = visit
            self._changed.notify_all()
            self._changed.wait()
        self._wanted = None
        record = self._drop(visit)
        if self._resident:
            self._hold(self.visits.next_visit(visit), record)
        return record

    def _work(self) -> None:
        try:
            while (load := self._next()) is not None:
                records = self._read(load.shard, self.visits.within(load))
                with self._changed:
                    self._reading -= self._size(load)
                    self._put(load, records)
                    self._changed.notify_all()
        except BaseException as error:  # `take` raises it
            with self._changed:
                self._error = error
                self._changed.notify_all()

    def _next(self) -> Load | None:
        """Return the next load when it fits or somebody waits for it; None at the end."""
        with self._changed:
            while not (self._closed or self._error):
                if self._waiting and self._may_read(self._waiting[0][2]):
                    load = heappop(self._waiting)[2]
                    self._reading += self._size(load)
                    self._fetch()
                    return load
                self._changed.wait()
            return None

    def _may_read(self, load: Load) -> bool:
        urgent = self._wanted is not None and load.due <= self._wanted
        return urgent or self.bytes + self._reading + self._size(load) <= self._budget

    def _size(self, load: Load) -> float:
        return float(self._guess[load.shard]) * len(load.visits)

    def _fetch(self) -> None:
        """Put the next of all loads among the waiting ones."""
        if (load := next(self._loads, None)) is not None:
            self._push(load)

    def _push(self, load: Load) -> None:
        self._pushed += 1
        heappush(self._waiting, (load.due, self._pushed, load))

    def _put(self, load: Load, records: Sequence[bytes]) -> None:
        """Hold these records, and drop the ones that do not fit, to be read again."""
        for visit, record in zip(load.visits.tolist(), records, strict=True):
            self._hold(visit, record)
        for shard, visits in self._make_room().items():  # one load per shard, because a load decodes all of it
            self._push(Load(min(visits), shard, np.array(sorted(visits))))
        self.most_bytes = max(self.most_bytes, self.bytes)

    def _make_room(self) -> dict[int, list[int]]:
        """Drop the records that are needed last until the rest fits, and return their visits by shard.

        The record that somebody waits for stays, and so does the last one held.
        """
        dropped: dict[int, list[int]] = defaultdict(list)
        latest = sorted(self._held.keys() - {self._wanted}) if self.bytes > self._budget else []
        while self.bytes > self._budget and len(self._held) > 1:
            visit = latest.pop()
            self._drop(visit)
            dropped[self.visits.shard(int(self.visits.numbers(np.array([visit]))[0]))].append(visit)
        return dropped

    def _hold(self, visit: int, record: bytes) -> None:
        self._held[visit] = record
        self.bytes += len(record) + HELD

    def _drop(self, visit: int) -> bytes:
        record = self._held.pop(visit)
        self.bytes -= len(record) + HELD
        return record
