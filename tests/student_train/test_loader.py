"""The loader: a pure order of examples, batches of the very integers that the cache holds, a thread that fails aloud."""

import threading
import time
from dataclasses import fields
from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from miniend.errors import CacheDamagedError
from miniend.signals.logits import LogitIntegers, join_integers
from miniend.student_train import loader
from miniend.student_train.loader import Ahead, BatchSource, Columns, epoch_order, in_order, shuffled

SIZES = st.lists(st.integers(1, 40), min_size=1, max_size=12)
SEEDS = st.integers(0, 2**32 - 1)


@pytest.fixture(scope="module")
def columns(ragged):
    """All columns of the cache."""
    places = {name: place.axis for codec in ragged.codecs.values() for name, place in codec.columns().items()}
    return Columns(tuple(places.items()), (ragged.logit_code.kind, len(ragged.logit_code.order)))


@pytest.fixture
def source(ragged, columns):
    return BatchSource(ragged.training, columns, 0)


def pairs(order):
    return [tuple(map(int, place)) for place in order]


def logit_tensors(logits):
    """The six tensors of stored distributions."""
    return [getattr(logits, field.name) for field in fields(LogitIntegers)]


def same(one, other):
    """Whether two batches hold the same integers of the same types."""
    tensors = [
        [b.input_ids, b.labels, *logit_tensors(b.logits), *b.valid.values(), *b.coefficients.values()]
        for b in (one, other)
    ]
    return all(a.dtype == b.dtype and torch.equal(a, b) for a, b in zip(*tensors, strict=True))


@given(SIZES, SEEDS, st.integers(0, 100))
@settings(max_examples=60, deadline=None)
def test_an_epoch_is_every_example_once_in_an_order_of_seed_and_epoch_alone(sizes, seed, epoch):
    """An example that comes twice, or never, is a corpus that nobody asked for."""
    torch.manual_seed(epoch)
    np.random.seed(epoch)
    order = epoch_order(sizes, seed, epoch)
    assert sorted(pairs(order)) == [(shard, index) for shard, size in enumerate(sizes) for index in range(size)]
    np.random.seed(1)
    assert np.array_equal(order, epoch_order(sizes, seed, epoch))


@given(SEEDS, st.integers(0, 100), st.lists(st.integers(1, 300), min_size=1, max_size=12))
@settings(max_examples=30, deadline=None)
def test_an_epoch_over_many_groups_is_complete_too(seed, epoch, sizes):
    """The groups are what memory holds; one forgotten at the end would go unnoticed."""
    order = pairs(epoch_order([*sizes, 700, 900], seed, epoch))
    assert len(set(order)) == len(order) == sum(sizes) + 1600


def test_epochs_and_seeds_have_orders_of_their_own():
    """The same order in every epoch is no shuffling; neighbouring seeds must not share epochs."""
    found = {(seed, epoch): pairs(epoch_order([10, 10, 4], seed, epoch)) for seed in range(4) for epoch in range(4)}
    assert len({tuple(order) for order in found.values()}) == 16
    assert all(order != sorted(order) for order in found.values())


def test_shards_of_one_group_are_mixed():
    """Examples of a shard come from neighbouring documents; batches of one document each are poor batches."""
    order = pairs(epoch_order([50] * 8, 0, 0))
    assert len({shard for shard, _ in order[:40]}) > 4


@given(st.lists(st.integers(1, 12), min_size=1, max_size=4), st.integers(1, 9), st.integers(0, 30), SEEDS)
@settings(max_examples=40, deadline=None)
def test_the_stream_goes_on_from_any_batch_as_if_it_had_never_stopped(sizes, batch_size, start, seed):
    """A resumed run that sees other examples is another run, with the same loss to the eye."""

    class Places:
        def __init__(self):
            self.sizes = sizes

        def batch(self, places):
            return pairs(places)

    unbroken = list(islice(shuffled(Places(), batch_size, seed, start=0), start + 6))
    assert list(islice(shuffled(Places(), batch_size, seed, start=start), 6)) == unbroken[start:]
    stream = [place for batch in unbroken for place in batch]
    total = sum(sizes)
    for epoch in range(len(stream) // total):
        assert len(set(stream[epoch * total : (epoch + 1) * total])) == total
    assert all(len(batch) == batch_size for batch in unbroken)


def test_real_batches_resume_identically(ragged, columns, source):
    """A second process starts with nothing in memory; what it reads has to be the same."""
    unbroken = list(islice(shuffled(source, 5, seed=3, start=0), 12))
    again = list(islice(shuffled(BatchSource(ragged.training, columns, 0), 5, seed=3, start=7), 5))
    assert all(same(a, b) for a, b in zip(unbroken[7:], again, strict=True))


def test_micro_batches_cut_the_same_stream(source):
    """Accumulation must not change which examples a step sees."""
    whole = next(shuffled(source, 6, seed=0, start=2))
    parts = list(islice(shuffled(source, 2, seed=0, start=6), 3))
    joined = join_integers([part.logits for part in parts])
    for ours, theirs in zip(logit_tensors(joined), logit_tensors(whole.logits), strict=True):
        assert torch.equal(ours, theirs)


def test_a_batch_holds_exactly_the_integers_of_the_cache(ragged, source):
    """Signals of one example beside the ids of another are learnt without complaint."""
    batch = source.batch(np.array([[1, 3], [0, 0], [2, 1], [0, 9]]))
    numbers = [13, 0, 21, 9]
    for place, number in enumerate(numbers):
        example = ragged[number]
        n, m = len(example.input_ids), len(example.labels)
        assert batch.input_ids[place, :n].tolist() == example.input_ids.tolist()
        assert batch.labels[place, :m].tolist() == example.labels.tolist()
        for codec in ragged.codecs.values():
            axes = {column: place_.axis for column, place_ in codec.columns().items()}
            start = torch.tensor([ragged.plan.document["teacher"]["start_id"]])
            tokens = {"input": batch.input_ids[place], "target": torch.cat([start, batch.labels[place, :-1]])}
            decoded = codec.decode({column: batch.coefficients[column][place] for column in axes}, tokens)
            for kind in ("query", "key", "value"):
                expected = getattr(example.relations[str(codec.site)], kind)
                assert torch.allclose(decoded[kind][: len(expected)], torch.from_numpy(expected), atol=1e-5)
    assert sum(len(ragged[number].labels) for number in numbers) == int(batch.valid["target"].sum())


def test_a_batch_holds_the_distributions_of_its_examples_in_order(logit_caches):
    """Lists have lengths of their own, so that one entry too many shifts all that follow."""
    for kind, cache in logit_caches.items():
        source = BatchSource(cache.training, Columns((), (kind, len(cache.logit_code.order))), 0)
        batch = source.batch(np.array([[1, 3], [0, 0], [2, 1], [0, 9]]))
        found = cache.logit_code.decode(batch.logits)
        position = 0
        for number in (13, 0, 21, 9):
            example = cache[number]
            for place in range(len(example.labels)):
                ids, log_p, draws, weights = distribution(example.logits, place)
                head, drawn = found.head_position == position, found.draw_position == position
                assert np.array_equal(found.head_ids[head], ids), kind
                assert np.allclose(found.head_log_p[head], log_p, atol=1e-6)
                assert np.array_equal(found.draw_ids[drawn], draws)
                assert np.allclose(found.draw_weight[drawn], weights, atol=1e-6)
                assert float(found.tail_mass[position]) == pytest.approx(float(example.logits.tail_mass[place]))
                position += 1
        assert position == len(found.tail_mass) == int(batch.valid["target"].sum())
        assert (len(found.head_ids) > 0) == (kind != "sampled")
        assert (len(found.draw_ids) > 0) == (kind != "top-k")


def distribution(logits, position):
    """Head ids, their log-probabilities, draws and their weights of one target position of an example."""
    head, draw = (slice(*starts[position : position + 2]) for starts in (logits.head_starts, logits.draw_starts))
    return logits.head_ids[head], logits.head_log_probabilities[head], logits.draw_ids[draw], logits.draw_weights[draw]


def test_shuffled_micro_batches_of_every_kind_cut_the_same_stream(logit_caches):
    """Accumulation must not change what a step learns, whatever the lengths of the lists."""
    for kind, cache in logit_caches.items():
        source = BatchSource(cache.training, Columns((), (kind, len(cache.logit_code.order))), 0)
        whole = next(shuffled(source, 6, seed=0, start=2))
        parts = list(islice(shuffled(source, 2, seed=0, start=6), 3))
        joined = join_integers([part.logits for part in parts])
        for ours, theirs in zip(logit_tensors(joined), logit_tensors(whole.logits), strict=True):
            assert torch.equal(ours, theirs), kind


def test_stored_integers_arrive_unchanged(ragged, source):
    """Between the column and the batch nothing may be rounded, wrapped or reordered."""
    batch = source.batch(np.array([[0, 2]]))
    folder = ragged.training.shards[0].folder
    for axis in ("input", "target"):
        start, stop = folder.column(f"{axis}s.offsets")[2:4].tolist()
        for column, block in batch.coefficients.items():
            if folder.columns[column]["axis"] == axis:
                assert np.array_equal(block[0].numpy(), folder.slice(column, start, stop).T.astype(np.int64))


def test_ragged_pairs_are_padded_on_the_right_and_marked(ragged, source):
    """A pad counted as a token adds a position to every mean."""
    places = np.array([[0, index] for index in range(10)])
    batch = source.batch(places)
    examples = [ragged[index] for index in range(10)]
    lengths = {"input": [len(e.input_ids) for e in examples], "target": [len(e.labels) for e in examples]}
    assert len(set(lengths["input"])) > 3
    assert len(set(lengths["target"])) > 3
    for axis, found in lengths.items():
        expected = torch.arange(max(found))[None] < torch.tensor(found)[:, None]
        assert torch.equal(batch.valid[axis], expected)
    assert (batch.input_ids[~batch.valid["input"]] == 0).all()
    assert (batch.labels[~batch.valid["target"]] == -100).all()
    for column, block in batch.coefficients.items():
        axis = dict(source._columns.coefficients)[column]
        assert block.shape[:2] == batch.valid[axis].shape
        assert not block[~batch.valid[axis]].any()


def test_only_the_columns_of_the_objective_are_read(ragged):
    """A student pays, in bytes and in memory, for its own objective alone."""
    batch = BatchSource(ragged.training, Columns((), None), 0).batch(np.array([[0, 0]]))
    assert (batch.coefficients, batch.logits) == ({}, None)


@pytest.mark.parametrize("batch_size", [1, 3, 8, 100])
def test_evaluation_sees_every_held_out_example_once_in_storage_order(ragged, columns, batch_size):
    """A last, smaller batch that is dropped makes held-out losses of different batch sizes differ."""
    batches = list(in_order(BatchSource(ragged.validation, columns, 0), batch_size))
    rows = [row[row != -100].tolist() for batch in batches for row in batch.labels]
    assert rows == [example.labels.tolist() for example in ragged.validation]


def test_an_empty_split_gives_no_batches(ragged, columns):
    """A cache without validation examples is legitimate."""
    empty = BatchSource(ragged.validation, columns, 0)
    empty.sizes = []
    assert list(in_order(empty, 4)) == []


def test_memory_holds_one_group_of_shards(ragged, columns, monkeypatch):
    """A cache is larger than memory; shards that are done with must go."""
    monkeypatch.setattr(loader, "SHUFFLE_EXAMPLES", 10)
    source = BatchSource(ragged.training, columns, 0)
    assert source._room == 10 + 2 * 10, "a group and the shard after it"
    monkeypatch.setattr(source, "_room", 14)
    held = []
    for _ in islice(shuffled(source, 4, seed=0, start=0), 20):
        held.append(sum(source.sizes[shard] for shard in source._loaded))
    assert max(held) <= 14 < sum(source.sizes)


def test_batches_come_in_order_through_the_thread(source):
    """Reading ahead must change nothing but the waiting."""
    ahead = Ahead(shuffled(source, 4, seed=5, start=2))
    direct = shuffled(source, 4, seed=5, start=2)
    try:
        assert all(same(next(ahead), next(direct)) for _ in range(9))
    finally:
        ahead.close()


def test_an_error_in_the_reading_thread_surfaces_where_the_batch_is_asked_for():
    """A dead thread and a training that waits for ever look like a slow disk."""

    def failing():
        yield "first"
        yield "second"
        raise CacheDamagedError("a byte was flipped")

    ahead = Ahead(failing())
    try:
        assert [next(ahead), next(ahead)] == ["first", "second"]
        with pytest.raises(CacheDamagedError, match="a byte was flipped"):
            next(ahead)
    finally:
        ahead.close()


def test_closing_ends_the_thread_even_where_nobody_takes_its_batches():
    """A thread that outlives a run keeps its shards in memory, and a notebook trains many students."""
    taken = []

    def endless():
        while True:
            taken.append(0)
            yield "batch"

    ahead = Ahead(endless())
    deadline = time.monotonic() + 5
    while len(taken) <= loader.AHEAD and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)
    assert len(taken) == loader.AHEAD + 1, "the thread works ahead, but not without limit"
    ahead.close()
    assert not ahead._thread.is_alive()
    assert not [thread for thread in threading.enumerate() if thread.name == "loader"]
