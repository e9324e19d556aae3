"""Mixing and shuffling: permutations, in proportion, the same for the same seed, and never dependent on what comes later."""

from fractions import Fraction
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miniend.teacher_dump.corpus.stream_order import interleaved, schedule, seeded_draw, shuffled

weights_ = st.lists(
    st.one_of(st.integers(1, 9).map(float), st.floats(0.01, 100), st.sampled_from([0.1, 0.2, 0.3, 0.7, 1e-3])),
    min_size=1,
    max_size=6,
)
seeds = st.integers(0, 2**40)
lengths_ = st.lists(st.integers(0, 25), min_size=1, max_size=5)


def streams_of(lengths):
    """Streams whose items say where they come from."""
    return [iter([(stream, number) for number in range(length)]) for stream, length in enumerate(lengths)]


@given(weights=weights_, seed=seeds)
def test_every_prefix_of_the_schedule_holds_the_weights_within_one_item(weights, seed):
    """A schedule that drifts, or a corpus that comes in blocks, would make another mixture of every part of the dump."""
    exact = [Fraction(repr(weight)) for weight in weights]
    given_ = [0] * len(weights)
    for position, stream in enumerate(islice(schedule(weights, seed), 300), start=1):
        given_[stream] += 1
        for count, weight in zip(given_, exact, strict=True):
            assert abs(count - position * weight / sum(exact)) < 1


def test_decimal_weights_mean_what_was_typed():
    """0.1 + 0.2 is not 0.3 in binary; the schedule would slowly leave the weights that the plan records."""
    assert list(islice(schedule((0.1, 0.2, 0.7), 5), 500)) == list(islice(schedule((1, 2, 7), 5), 500))


def test_the_seed_decides_where_the_weights_do_not():
    """Equal corpora would otherwise always come in the order of the command line."""
    first = {tuple(islice(schedule((1, 1, 1), seed), 30)) for seed in range(20)}
    assert len(first) == 20
    assert list(islice(schedule((3, 1), 4), 400)) == list(islice(schedule((3, 1), 4), 400))
    assert {tuple(islice(schedule((3, 1), seed), 40)) for seed in range(3)} != {tuple(islice(schedule((3, 1), 0), 40))}


@given(lengths=lengths_, seed=seeds, data=st.data())
def test_mixing_loses_and_doubles_nothing_and_keeps_every_corpus_in_order(lengths, seed, data):
    """Whatever ends first: a dropped item at the end of one stream would go unnoticed in any corpus of real size."""
    weights = data.draw(st.lists(st.floats(0.1, 10), min_size=len(lengths), max_size=len(lengths)))
    mixed = list(interleaved(streams_of(lengths), weights, seed))
    assert sorted(mixed) == sorted(item for stream in streams_of(lengths) for item in stream)
    for stream in range(len(lengths)):
        assert [number for which, number in mixed if which == stream] == list(range(lengths[stream]))


@given(seed=seeds)
def test_when_a_corpus_ends_the_others_go_on_in_their_own_proportion(seed):
    """Going on by the old schedule with holes in it would let one of the others run ahead."""
    mixed = [stream for stream, _ in interleaved(streams_of((4, 200, 100)), (5, 2, 1), seed)]
    end = max(position for position, stream in enumerate(mixed) if stream == 0) + 1
    assert abs(end - 4 * 8 / 5) < 4
    rest = mixed[end : end + 240]
    for position in range(1, len(rest) + 1):
        assert abs(rest[:position].count(2) - position / 3) < 3
    assert mixed[-1] in (1, 2)


@given(items=st.lists(st.integers(), max_size=60), size=st.integers(0, 70), seed=seeds)
def test_shuffling_loses_and_doubles_nothing_and_looks_ahead_by_less_than_its_buffer(items, size, seed):
    """A buffer that is not emptied at the end loses as many documents as it holds."""
    found = list(shuffled(enumerate(items), size, seed))
    assert sorted(found) == list(enumerate(items))
    assert all(number - position < max(size, 1) for position, (number, _) in enumerate(found))


@given(count=st.integers(0, 60), more=st.integers(0, 60), size=st.integers(0, 20), seed=seeds)
def test_the_first_documents_do_not_depend_on_what_comes_much_later(count, more, size, seed):
    """A prefix that changes with the end of a corpus could not be resumed, and would need all of it in memory."""
    short, long = (list(shuffled(range(n), size, seed)) for n in (count, count + more))
    stable = max(0, count - max(size - 1, 0))
    assert long[:stable] == short[:stable]


def test_a_shuffle_reads_no_more_than_its_buffer_ahead():
    """Flat memory: a list made of the whole stream would pass every other test."""
    read = []

    def stream():
        for number in range(10_000):
            read.append(number)
            yield number

    emitted = list(islice(shuffled(stream(), 8, 0), 100))
    assert len(read) == len(emitted) + 7


def test_shuffles_of_two_seeds_and_of_two_sizes_differ_and_zero_keeps_the_order():
    """A seed or a size without effect would be recorded in a plan for nothing."""
    orders = {tuple(shuffled(range(100), size, seed)) for size in (2, 10, 100) for seed in range(5)}
    assert len(orders) == 15
    assert [list(shuffled(range(9), size, 1)) for size in (0, 1)] == [list(range(9))] * 2


def test_a_full_buffer_shuffles_uniformly():
    """A biased pick, such as one that never takes the newest, would keep neighbours together."""
    firsts = [next(shuffled(range(8), 8, seed)) for seed in range(4000)]
    assert all(abs(firsts.count(value) - 500) < 110 for value in range(8))  # 5 standard deviations


@pytest.mark.parametrize(("made", "expected"), [("schedule", "GOLDEN_MIX"), ("shuffle", "GOLDEN_SHUFFLE")])
def test_the_order_is_that_of_the_first_caches(made, expected):
    """Another order of the same documents would be spliced onto a cache that is resumed with a newer version."""
    found = islice(schedule((3, 1, 2), 7), 24) if made == "schedule" else shuffled(range(20), 6, 7)
    assert list(found) == globals()[expected]


def test_draws_differ_by_purpose_seed_and_index():
    """One stream of chance for two purposes would tie the validation documents to the shuffle."""
    draws = {seeded_draw(p, s, i) for p in ("held-out", "shuffle") for s in range(3) for i in range(50)}
    assert len(draws) == 300


GOLDEN_MIX = [0, 2, 0, 2, 1, 0, 0, 2, 0, 1, 0, 2, 0, 2, 0, 2, 0, 1, 0, 2, 0, 1, 0, 2]
GOLDEN_SHUFFLE = [0, 3, 1, 4, 7, 2, 11, 9, 8, 13, 5, 10, 15, 18, 14, 12, 17, 16, 19, 6]
