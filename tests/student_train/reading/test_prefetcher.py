"""Reading ahead in a thread: the same items, errors aloud, an end."""

import threading
import time

import pytest

from miniend.errors import CacheDamagedError
from miniend.student_train.reading.prefetcher import AHEAD, Prefetcher


def test_items_come_in_order_and_end():
    """Evaluation has a last batch; a consumer that waits for one more waits for ever."""
    ahead = Prefetcher(iter(range(20)))
    assert list(ahead) == list(range(20))
    assert list(ahead) == []
    ahead.close()


def test_an_error_surfaces_where_the_item_is_asked_for_and_again():
    """A dead thread and a training that waits for ever look like a slow disk."""

    def failing():
        yield "first"
        yield "second"
        raise CacheDamagedError("a byte was flipped")

    ahead = Prefetcher(failing())
    try:
        assert [next(ahead), next(ahead)] == ["first", "second"]
        for _ in range(3):
            with pytest.raises(CacheDamagedError, match="a byte was flipped"):
                next(ahead)
    finally:
        ahead.close()


def test_closing_ends_the_thread_and_the_generator_even_where_nobody_takes_its_items():
    """A thread that outlives a run keeps its records in memory, and a notebook trains many students."""
    taken, closed = [], []

    def endless():
        try:
            while True:
                taken.append(0)
                yield "item"
        finally:
            closed.append(0)

    items = endless()
    ahead = Prefetcher(items)
    deadline = time.monotonic() + 5
    while len(taken) <= AHEAD and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)
    assert len(taken) == AHEAD + 1, "the thread works ahead, but not without limit"
    ahead.close()
    assert len(closed) == 1
    assert not [thread for thread in threading.enumerate() if thread.name == "loader"]
