"""The buffer: the right record for every visit, in bounded memory, whatever was guessed of sizes; threads that end."""

import threading
import time
import tracemalloc
from itertools import islice

import numpy as np
import pytest

from miniend.errors import CacheDamagedError
from miniend.student_train.reading.buffer import HELD, Buffer
from miniend.student_train.reading.order import Layout, Load, Visits


def record_of(shard, place, size):
    return f"{shard} {place} ".encode().ljust(size, b".")


class Shards:
    """Records made up; counts who reads what."""

    def __init__(self, size):
        self.size, self.read = size, []

    def __call__(self, shard, places):
        self.read.append(shard)
        return [record_of(shard, place, self.size) for place in places.tolist()]


def run(layout, size, first, count, chunk=1, readers=3):
    """Take `count` visits, `chunk` at a time and each chunk backwards; whether each was right, the most bytes, and reads."""
    visits, shards, most = Visits(layout, 5, first), Shards(size), 0
    buffer = Buffer(visits, shards, readers)
    try:
        for begin in range(first, first + count, chunk):
            wanted = np.arange(begin, begin + chunk)[::-1].copy()
            found = buffer.take(wanted)
            most = max(most, buffer.most_bytes)
            for number, record in zip(visits.numbers(wanted).tolist(), found, strict=True):
                shard = visits.shard(number)
                assert record == record_of(shard, number - int(layout.starts[shard]), size)
    finally:
        buffer.close()
    return most, shards.read


@pytest.mark.parametrize("chunk", [1, 24])
@pytest.mark.parametrize("first", [0, 100])
@pytest.mark.parametrize("shards", [3, 14, 40])
def test_every_visit_gets_its_record_within_the_budget(shards, first, chunk):
    """All in memory, half of it, and a corpus far beyond; from the beginning and from where a run was resumed."""
    layout = Layout((20,) * shards, (20_000,) * shards, 600_000)
    most, read = run(layout, 1500, first, 3 * layout.total // chunk * chunk, chunk)
    assert most <= layout.budget
    assert layout.resident == (shards == 3)
    if layout.resident:
        assert sorted(read) == list(range(shards)), "read once for all epochs"
    else:
        assert len(read) <= 2 * 4.5 * shards


@pytest.mark.parametrize("shards", [3, 14])
@pytest.mark.parametrize("size", [4_000, 12_000])
def test_the_budget_holds_where_examples_are_larger_than_was_guessed(shards, size):
    """Guessed are 2,000 bytes. Memory that grows by half is a run that dies in its second day."""
    layout = Layout((20,) * shards, (20_000,) * shards, 300_000)
    most, _read = run(layout, size, 0, 2 * layout.total, chunk=20)
    assert most <= layout.budget


def test_what_is_waited_for_does_not_give_way():
    """It would be read again and dropped again, and the training wait for ever."""
    buffer = Buffer(Visits(Layout((20,) * 9, (20_000,) * 9, 30_000), 0, 0), Shards(10), readers=0)
    buffer._hold(7, b"")
    buffer._wanted = 10
    buffer._put(Load(8, 0, np.array([8, 10])), [b"x" * 20_000, b"y" * 20_000])
    assert set(buffer._held) == {7, 10}, "what is needed last gives way"
    buffer._put(Load(5, 0, np.array([5])), [b"z" * 30_000])
    assert set(buffer._held) == {10}
    assert {5, 7, 8} <= {visit for _, _, load in buffer._waiting for visit in load.visits.tolist()}
    assert buffer.most_bytes == buffer.bytes + HELD == 20_000 + 2 * HELD
    buffer.close()


def test_one_record_that_is_larger_than_the_budget_is_held():
    """Nobody else could take its place, and whoever needs it would wait for ever."""
    buffer = Buffer(Visits(Layout((20,) * 9, (20_000,) * 9, 30_000), 0, 0), Shards(10), readers=0)
    buffer._hold(7, b"")
    buffer._put(Load(5, 0, np.array([5])), [b"z" * 40_000])
    assert set(buffer._held) == {5}
    buffer.close()


def test_what_gives_way_is_read_again_shard_by_shard():
    """Each load decodes a whole shard; a load for every record that gave way would decode it a hundred times."""
    layout = Layout((20,) * 9, (20_000,) * 9, 30_000)
    buffer = Buffer(Visits(layout, 0, 0), Shards(10), readers=0)
    for visit in range(100, 175):
        buffer._hold(visit, b"x" * 200)
    waiting = len(buffer._waiting)
    visits = np.arange(20, 40)
    buffer._put(Load(20, 0, visits), [b"y" * 1000] * 20)
    assert set(visits.tolist()) <= buffer._held.keys()
    given_way = 75 + 20 - len(buffer._held)
    assert given_way > 30
    assert waiting < len(buffer._waiting) <= waiting + len(layout.examples)
    assert sum(len(load.visits) for _, _, load in buffer._waiting if load.due >= 100) >= given_way
    buffer.close()


def test_bytes_are_what_python_takes():
    """The buffer's own count says nothing if it leaves out what holding costs."""
    layout = Layout((200,) * 50, (400_000,) * 50, 12_000_000)
    visits = Visits(layout, 0, 0)
    list(islice(visits.loads(), 120))  # orders and loads are no part of it
    buffer = Buffer(visits, Shards(2000), readers=1)
    try:
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0], buffer.bytes
        buffer.take(np.arange(2000))
        deadline = time.monotonic() + 10
        while buffer.bytes < 0.9 * layout.budget and time.monotonic() < deadline:
            time.sleep(0.02)
        held, counted = tracemalloc.get_traced_memory()[0] - before[0], buffer.bytes - before[1]
    finally:
        tracemalloc.stop()
        buffer.close()
    assert counted > 4_000_000
    assert held < 1.05 * counted + 600_000


def test_an_error_of_a_reading_thread_is_raised_where_records_are_asked_for():
    """And again when asked again: a training that waits for ever looks like a slow disk."""

    def read(shard, places):
        if shard == 2:
            raise CacheDamagedError("a byte was flipped")
        return [b""] * len(places)

    buffer = Buffer(Visits(Layout((5,) * 4, (100,) * 4), 0, 0), read)
    try:
        for _ in range(3):
            with pytest.raises(CacheDamagedError, match="a byte was flipped"):
                buffer.take(np.arange(20))
    finally:
        buffer.close()


def test_closing_ends_the_threads_that_wait_for_room():
    """A thread that outlives a run keeps its records in memory, and a notebook trains many students."""
    before = threading.active_count()
    buffer = Buffer(Visits(Layout((50,) * 40, (50_000,) * 40, 300_000), 0, 0), Shards(1000))
    buffer.take(np.arange(3))
    assert threading.active_count() > before
    buffer.close()
    assert threading.active_count() == before
    with pytest.raises(RuntimeError, match="closed"):
        buffer.take(np.arange(900, 1900))
