"""The order of examples: every one once an epoch, a function of seed, epoch and markers alone, and as mixed as memory allows."""

from itertools import islice, takewhile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miniend.student_train.reading.order import BUDGET, PLANNED, Layout, Visits, epoch_order

SEEDS = st.integers(0, 2**32 - 1)
SHARDS = st.lists(st.tuples(st.integers(1, 40), st.integers(0, 10**5)), min_size=1, max_size=12)
BUDGETS = st.sampled_from([1000, 30_000, 100_000, BUDGET])


def layout_of(shards, budget=BUDGET):
    examples, stored = zip(*shards, strict=True)
    return Layout(examples, stored, budget)


def even(shards, fitting):
    """Shards of 50 examples and 100 kB, of which so many are taken to fit the memory of an order."""
    layout = Layout((50,) * shards, (100_000,) * shards)
    return Layout(layout.examples, layout.stored, round(fitting * float(layout.costs[0]) / PLANNED))


@given(SHARDS, BUDGETS, SEEDS, st.integers(0, 100))
@settings(max_examples=60, deadline=None)
def test_an_epoch_is_every_example_once_in_an_order_of_its_arguments_alone(shards, budget, seed, epoch):
    """An example that comes twice, or never, is a corpus that nobody asked for."""
    np.random.seed(epoch)
    found = epoch_order(layout_of(shards, budget), seed, epoch)
    np.random.seed(1)
    again = epoch_order(layout_of(shards, budget), seed, epoch)
    total = sum(examples for examples, _ in shards)
    assert sorted(found.order.tolist()) == list(range(total))
    assert found.order[found.ranks].tolist() == list(range(total))
    assert np.array_equal(found.order, again.order)


def test_epochs_and_seeds_have_orders_of_their_own():
    """The same order in every epoch is no shuffling; neighbouring seeds must not share epochs."""
    layout = layout_of([(10, 100), (10, 100), (4, 40)])
    found = {tuple(epoch_order(layout, seed, epoch).order.tolist()) for seed in range(4) for epoch in range(4)}
    assert len(found) == 16


@pytest.mark.parametrize("fitting", [8, 4.01], ids=["all fit", "half of them fit"])
def test_where_the_window_is_the_epoch_every_permutation_is_as_likely(fitting):
    """A corner of the corpus that always comes first is the one whose learning rate is still warming up."""
    layout = even(8, fitting)
    assert layout.resident == (fitting == 8)
    places = np.array([epoch_order(layout, seed, 0).ranks for seed in range(400)])
    assert np.abs(places.mean(0) / 399 * 399 / places.shape[1] - 0.5).max() < 0.08
    neighbours = np.abs(np.diff(places[:, :50], axis=1)).mean() / places.shape[1]
    assert neighbours == pytest.approx(1 / 3, abs=0.01)


def test_a_corpus_beyond_memory_is_mixed_over_twice_the_shards_that_fit():
    """Examples of a shard come from neighbouring documents; batches of one document each are poor batches."""
    order = epoch_order(even(100, 10), 0, 0).order // 50
    pairs = np.mean([np.mean(part[:, None] == part[None, :]) - 1 / 16 for part in order[:4992].reshape(-1, 16)])
    assert pairs == pytest.approx(15 / 16 / 20, rel=0.1)


@given(SHARDS, BUDGETS, SEEDS, st.integers(0, 300))
@settings(max_examples=60, deadline=None)
def test_the_loads_bring_every_visit_once_and_none_late(shards, budget, seed, first):
    """A visit that no load brings stops the training for ever."""
    visits = Visits(layout_of(shards, budget), seed, first)
    total = visits.layout.total
    stop = first + 2 * total
    loads = list(takewhile(lambda load: load.due < stop, visits.loads()))
    found = [visit for load in loads for visit in load.visits.tolist()]
    assert len(set(found)) == len(found)
    assert min(found) == first
    if visits.layout.resident:
        assert sorted(visits.numbers(np.array(found)).tolist()) == list(range(total))
        assert [load.shard for load in sorted(loads, key=lambda load: load.shard)] == list(range(len(shards)))
    else:
        assert sorted(found)[: 2 * total] == list(range(first, stop))
    assert [load.due for load in loads] == sorted(load.due for load in loads)
    for load in loads:
        assert load.due <= load.visits[0]
        assert np.array_equal(load.visits, np.sort(load.visits))
        places = visits.within(load)
        assert {visits.shard(int(number)) for number in visits.numbers(load.visits)} == {load.shard}
        assert (places >= 0).all()
        assert (places < shards[load.shard][0]).all()


@given(SHARDS, SEEDS, st.integers(0, 300))
@settings(max_examples=20, deadline=None)
def test_the_next_visit_is_the_same_example_in_the_next_epoch(shards, seed, visit):
    """What stays in memory is found again under that number."""
    visits = Visits(layout_of(shards), seed, 0)
    again = visits.next_visit(visit)
    assert again // visits.layout.total == visit // visits.layout.total + 1
    assert len(set(visits.numbers(np.array([visit, again])).tolist())) == 1


@pytest.mark.parametrize("shards", [12, 18, 60])
def test_what_has_begun_and_is_not_yet_visited_fits_the_budget(shards):
    """Over the ends of epochs too, where windows go on at the beginning."""
    layout = even(shards, 10)
    visits = Visits(layout, 0, 0)
    loads = list(islice(visits.loads(), 6 * shards))
    cost = float(layout.costs[0]) / 50
    for now in range(0, 2 * layout.total, 37):
        held = sum(int((load.visits >= now).sum()) for load in loads if load.due <= now)
        assert held * cost <= 1.15 * PLANNED * layout.budget
