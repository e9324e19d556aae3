"""Steps: like lengths together, the same for every number of processes and passes, and no less shuffled."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miniend.student_train.reading.length_buckets import POOL, Share, pool_batches, pool_of, pool_steps
from miniend.student_train.reading.order import Layout

NUMBERS = st.integers(1, 60)


@given(NUMBERS, st.integers(1, 50), st.integers(1, 20), st.integers(0, 400))
@settings(max_examples=200, deadline=None)
def test_every_step_has_one_pool_that_lies_within_an_epoch(total, batch_size, longest, step):
    """A pool over the end of an epoch would sort an example beside itself, and give batches that hold it twice."""
    pool = pool_of(step, total, batch_size, longest)
    assert step in pool
    assert len(pool) <= longest
    assert {pool_of(other, total, batch_size, longest) for other in pool} == {pool}
    if len(pool) > 1:
        assert pool.start * batch_size // total == (pool.stop * batch_size - 1) // total


def test_pools_are_as_long_as_they_may_be():
    """A pool of one step sorts nothing."""
    found, step = [], 0
    while step < 50:
        pool = pool_of(step, 1000, 20, 16)
        found.append(len(pool))
        step = pool.stop
    assert found == [16, 16, 16, 2]
    assert len(pool_of(100, 1003, 20, 16)) == 1, "the step in which an epoch ends"


def test_a_pool_takes_an_eighth_of_the_memory_at_most():
    """Its examples are taken in another order than they are read in."""
    small, large = (Layout((100,), (100 * stored,)) for stored in (1000, 100_000))
    assert pool_steps(small, 128) == POOL
    assert 1 <= pool_steps(large, 128) < POOL
    assert pool_steps(large, 10**6) == 1


@given(st.integers(1, 16), st.integers(1, 12), st.integers(0, 1000), st.integers(0, 2**32 - 1))
@settings(max_examples=50, deadline=None)
def test_a_pool_is_sorted_by_length_and_loses_nothing(count, batch_size, start, seed):
    """What bucketing is for: the longest of a batch decides what all of it costs."""
    lengths = np.random.default_rng(seed).integers(1, 9, (count * batch_size, 2)).astype(np.int32)
    batches = pool_batches(range(start, start + count), lengths, seed)
    assert sorted(np.concatenate(batches).tolist()) == list(range(count * batch_size))
    key = [[tuple(lengths[place]) for place in batch] for batch in batches]
    assert all(batch == sorted(batch) for batch in key)
    spans = sorted((batch[0], batch[-1]) for batch in key)
    assert all(one[1] <= other[0] for one, other in pairwise(spans))
    again = pool_batches(range(start, start + count), lengths, seed)
    assert all(np.array_equal(a, b) for a, b in zip(batches, again, strict=True))


def test_batches_of_a_pool_are_shuffled_by_seed_and_pool():
    """Short batches first and long ones last, every 16 steps, is a schedule that nobody asked for."""
    lengths = np.arange(32, dtype=np.int32)[:, None].repeat(2, 1)
    orders = {
        tuple(int(batch[0]) for batch in pool_batches(range(start, start + 16), lengths, seed))
        for start in (0, 16, 32)
        for seed in (0, 1)
    }
    assert len(orders) == 6
    assert all(list(order) != sorted(order) for order in orders)


def test_equal_lengths_leave_the_stream_as_it_is():
    """All of it is shuffled already: a batch is a slice of the stream, and slices change places."""
    batches = pool_batches(range(4), np.full((20, 2), 7, np.int32), 3)
    assert sorted(batch.tolist() for batch in batches) == np.arange(20).reshape(4, 5).tolist()


@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 5))
def test_the_shares_of_all_processes_are_the_step(world, passes, size):
    """Counted twice, an example weighs double; left out, it is never learnt."""
    batch_size = world * passes * size
    cuts = [Share(rank, world, passes).cut(batch_size) for rank in range(world)]
    assert all(len(cut) == passes for cut in cuts)
    for number in range(passes):
        level = [place for cut in cuts for place in range(batch_size)[cut[number]]]
        assert level == list(range(number * world * size, (number + 1) * world * size)), "like lengths at the same time"


def test_a_batch_that_does_not_divide_is_refused():
    """The last process would take fewer examples, and the mean of a step be another."""
    with pytest.raises(ValueError, match="batch of 8 cannot be cut evenly for 3 processes x 1"):
        Share(0, 3, 1).cut(8)
