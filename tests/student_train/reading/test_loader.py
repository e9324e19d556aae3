"""The loader: a pure order of examples, batches of the very integers that the cache holds, threads that fail aloud and end."""

import ast
import subprocess
import sys
import threading
import time
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from miniend.errors import CacheDamagedError
from miniend.models.families import FAMILIES
from miniend.signals.logits.code import join_integers
from miniend.student_train.reading.loader import BatchSource, Columns, Prefetcher, Share, in_order, steps
from miniend.student_train.reading.order import Layout
from miniend.student_train.reading.records import read_records
from support.batches import batch_of, logit_tensors, same

SEEDS = st.integers(0, 2**32 - 1)
NOTHING = Columns(FAMILIES["t5"])


@pytest.fixture(scope="module")
def columns(ragged):
    """All columns of the cache."""
    places = {name: place.axis for codec in ragged.codecs.values() for name, place in codec.columns.items()}
    logits = (ragged.logit_code.kind, len(ragged.logit_code.order), False)
    return Columns(ragged.family, tuple(places.items()), logits)


@pytest.fixture
def source(ragged, columns):
    return BatchSource(ragged.training, columns, 0)


def taken(iterator, count):
    """The first items of a generator, which is closed."""
    found = list(islice(iterator, count))
    iterator.close()
    return found


def examples_of(batches):
    return [number for batch in batches for number in batch.examples]


class Made:
    """A source of made-up shards whose examples have lengths, and whose batches are their numbers."""

    def __init__(self, shards, budget, longest):
        self.layout = Layout(tuple(shards), tuple(50 * n for n in shards), budget)
        self.longest, self.reads = longest, 0

    def lengths(self, numbers):
        return np.stack([numbers * 7919 % self.longest, numbers % 3], axis=1).astype(np.int32)

    def read(self, shard, places):
        self.reads += 1
        return [str(int(self.layout.starts[shard]) + int(place)).encode() for place in places]

    def batch(self, numbers, records):
        assert [int(record) for record in records] == numbers.tolist()
        return numbers.tolist()


MADE = st.builds(
    Made,
    st.lists(st.integers(1, 12), min_size=1, max_size=8),
    st.sampled_from([4_000, 20_000, 10**6]),
    st.sampled_from([1, 30]),
)


@given(MADE, st.integers(1, 9), SEEDS)
@settings(max_examples=60, deadline=None)
def test_every_epoch_is_every_example_once(made, batch_size, seed):
    """Whatever the lengths, the memory and where the epoch ends within a batch."""
    total = made.layout.total
    stream = [
        number for (batch,) in taken(steps(made, batch_size, seed, 0), 3 * total // batch_size + 1) for number in batch
    ]
    ends = [batch_size * -(-total * epoch // batch_size) for epoch in (1, 2, 3)]
    seen = [np.bincount(stream[:end], minlength=total) for end in ends]
    for epoch, (end, counts) in enumerate(zip(ends, seen, strict=True), 1):
        assert counts.min() >= epoch
        assert counts.sum() == end


@given(MADE, st.integers(1, 4), st.integers(0, 40), SEEDS)
@settings(max_examples=40, deadline=None)
def test_the_stream_goes_on_from_any_step_as_if_it_had_never_stopped(made, batch_size, start, seed):
    """A resumed run that sees other examples is another run, with the same loss to the eye."""
    unbroken = taken(steps(made, batch_size, seed, 0), start + 6)
    assert taken(steps(made, batch_size, seed, start), 6) == unbroken[start:]


@given(MADE, st.sampled_from([(1, 2), (2, 1), (4, 1), (2, 2), (1, 4)]), st.integers(0, 9), SEEDS)
@settings(max_examples=40, deadline=None)
def test_processes_and_passes_share_the_same_steps(made, split, start, seed):
    """A student of four processes that sees other batches cannot be compared with a student of one."""
    world, passes = split
    whole = taken(steps(made, 8, seed, start), 5)
    shares = [taken(steps(made, 8, seed, start, Share(rank, world, passes)), 5) for rank in range(world)]
    for step, (batch,) in enumerate(whole):
        levels = zip(*(share[step] for share in shares), strict=True)
        assert [number for level in levels for part in level for number in part] == batch


def test_a_step_is_sorted_by_length_and_pads_less(ragged):
    """Ragged examples: what is padded is computed and thrown away."""
    source = BatchSource(ragged.training, NOTHING, 0)
    found = [batch for (batch,) in taken(steps(source, 4, 0, 0), 6)]
    lengths = [batch.valid["input"].sum(1) for batch in found]
    assert all(torch.equal(one, one.sort().values) for one in lengths)
    drawn = np.random.default_rng(0).permutation(24).reshape(6, 4)
    unsorted = [batch_of(source, numbers).valid["input"] for numbers in drawn]
    padded, before = (sum(int((~v).sum()) for v in valid) for valid in ([b.valid["input"] for b in found], unsorted))
    assert padded < 0.4 * before


def test_the_order_does_not_depend_on_what_is_read(ragged, columns):
    """Students of several objectives share one pass, and each must be the student of its own pass."""
    few, all_of_them = (
        examples_of(batch for (batch,) in taken(steps(BatchSource(ragged.training, wanted, 0), 5, 3, 0), 12))
        for wanted in (NOTHING, columns)
    )
    assert few == all_of_them


def test_real_batches_resume_identically(ragged, columns, source):
    """A second process starts with nothing in memory; what it reads has to be the same."""
    unbroken = taken(steps(source, 5, seed=3, start=0), 12)
    again = taken(steps(BatchSource(ragged.training, columns, 0), 5, seed=3, start=7), 5)
    assert all(same(a, b) for (a,), (b,) in zip(unbroken[7:], again, strict=True))


@pytest.mark.parametrize("budget", [40_000, 12_000])
def test_memory_changes_the_order_alone_and_holds(ragged, columns, budget):
    """A cache is larger than memory: the same integers then come in another order, example by example."""
    source = BatchSource(ragged.training, columns, 0, budget)
    assert not source.layout.resident
    found = [batch for (batch,) in taken(steps(source, 4, 0, 0), 12)]
    assert sorted(examples_of(found)) == sorted([*range(24)] * 2)
    assert all(same(batch, batch_of(source, batch.examples)) for batch in found)


def test_micro_batches_cut_the_same_step_whatever_the_kind_of_logits(logit_caches):
    """Accumulation must not change what a step learns, whatever the lengths of the lists."""
    for kind, cache in logit_caches.items():
        source = BatchSource(
            cache.training, Columns(cache.family, logits=(kind, len(cache.logit_code.order), False)), 0
        )
        ((whole,),) = taken(steps(source, 6, seed=0, start=2), 1)
        (parts,) = taken(steps(source, 6, 0, 2, Share(passes=3)), 1)
        joined = join_integers([part.logits for part in parts])
        assert examples_of(parts) == list(whole.examples)
        for ours, theirs in zip(logit_tensors(joined), logit_tensors(whole.logits), strict=True):
            assert torch.equal(ours, theirs), kind


def test_a_batch_holds_exactly_the_integers_of_the_cache(ragged, source):
    """Signals of one example beside the ids of another are learnt without complaint."""
    numbers = [13, 0, 21, 9]
    batch = batch_of(source, numbers)
    assert batch.examples == tuple(numbers)
    for place, number in enumerate(numbers):
        example = ragged[number]
        n, m = len(example.input_ids), len(example.labels)
        assert batch.ids["input"][place, :n].tolist() == example.input_ids.tolist()
        assert batch.labels[place, :m].tolist() == example.labels.tolist()
        for codec in ragged.codecs.values():
            axes = {column: place_.axis for column, place_ in codec.columns.items()}
            start = torch.tensor([ragged.plan.teacher.start_id])
            tokens = {"input": batch.ids["input"][place], "target": torch.cat([start, batch.labels[place, :-1]])}
            decoded = codec.decode({column: batch.coefficients[column][place] for column in axes}, tokens)
            for kind in ("query", "key", "value"):
                expected = getattr(example.relations[str(codec.site)], kind)
                assert torch.allclose(decoded[kind][: len(expected)], torch.from_numpy(expected), atol=1e-5)
    assert sum(len(ragged[number].labels) for number in numbers) == int(batch.valid["target"].sum())


def test_a_batch_holds_the_distributions_of_its_examples_in_order(logit_caches):
    """Lists have lengths of their own, so that one entry too many shifts all that follow."""
    for kind, cache in logit_caches.items():
        source = BatchSource(
            cache.training, Columns(cache.family, logits=(kind, len(cache.logit_code.order), False)), 0
        )
        batch = batch_of(source, [13, 0, 21, 9])
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


def test_stored_integers_arrive_unchanged(ragged, source):
    """Between the column and the batch nothing may be rounded, wrapped or reordered."""
    batch = batch_of(source, [2])
    folder = ragged.training.shards[0].folder
    for axis in ("input", "target"):
        start, stop = folder.column(f"{axis}s.offsets")[2:4].tolist()
        for column, block in batch.coefficients.items():
            if folder.columns[column]["axis"] == axis:
                assert np.array_equal(block[0].numpy(), folder.slice(column, start, stop).T.astype(np.int64))


def test_ragged_pairs_are_padded_on_the_right_and_marked(ragged, source):
    """A pad counted as a token adds a position to every mean."""
    batch = batch_of(source, range(10))
    examples = [ragged[index] for index in range(10)]
    lengths = {"input": [len(e.input_ids) for e in examples], "target": [len(e.labels) for e in examples]}
    assert len(set(lengths["input"])) > 3
    assert len(set(lengths["target"])) > 3
    for axis, found in lengths.items():
        expected = torch.arange(max(found))[None] < torch.tensor(found)[:, None]
        assert torch.equal(batch.valid[axis], expected)
    assert (batch.ids["input"][~batch.valid["input"]] == 0).all()
    assert (batch.labels[~batch.valid["target"]] == -100).all()
    for column, block in batch.coefficients.items():
        axis = dict(source.columns.coefficients)[column]
        assert block.shape[:2] == batch.valid[axis].shape
        assert not block[~batch.valid[axis]].any()


def test_only_the_columns_of_the_objective_are_read(ragged):
    """A student pays, in bytes and in memory, for its own objective alone."""
    batch = batch_of(BatchSource(ragged.training, NOTHING, 0), [0])
    assert (batch.coefficients, batch.logits) == ({}, None)


@pytest.mark.parametrize("batch_size", [1, 3, 8, 100])
def test_evaluation_sees_every_validation_example_once_in_storage_order(ragged, columns, batch_size):
    """A last, smaller batch that is dropped makes validation losses of different batch sizes differ."""
    batches = list(in_order(BatchSource(ragged.validation, columns, 0), batch_size))
    rows = [row[row != -100].tolist() for batch in batches for row in batch.labels]
    assert rows == [example.labels.tolist() for example in ragged.validation]


def test_an_empty_split_gives_no_batches(logit_caches):
    """A cache without validation examples is legitimate."""
    cache = next(iter(logit_caches.values()))
    assert list(in_order(BatchSource(cache.validation, NOTHING, 0), 4)) == []


def test_validation_examples_go_by_their_own_numbers(ragged, columns):
    """A run that meets a loss that is not finite names the examples of its batch."""
    (batch,) = in_order(BatchSource(ragged.validation, columns, 0), 100)
    assert batch.examples == tuple(range(len(ragged.validation)))
    assert batch.to(torch.device("cpu")).examples == batch.examples


@pytest.mark.parametrize("world", [1, 2, 3])
def test_evaluation_is_dealt_among_processes(ragged, columns, world):
    """Each batch once: a mean over processes counts what two of them saw twice."""
    source = BatchSource(ragged.training, columns, 0)
    whole = [batch.examples for batch in in_order(source, 5)]
    dealt = [[batch.examples for batch in in_order(source, 5, Share(rank, world))] for rank in range(world)]
    assert dealt == [whole[rank::world] for rank in range(world)]


def test_large_columns_are_decoded_in_blocks_of_rows(ragged, columns, monkeypatch):
    """A whole column of a large teacher, decoded, is hundreds of megabytes."""
    shard = ragged.training.shards[0]
    whole = BatchSource(ragged.training, columns, 0)
    expected = batch_of(whole, [0, 3, 9])
    monkeypatch.setattr("miniend.student_train.reading.records.DECODED", 300)
    asked = []
    rows = type(shard.folder).rows
    monkeypatch.setattr(type(shard.folder), "rows", lambda self, *a: (asked.append(a), rows(self, *a))[1])
    assert same(batch_of(whole, [0, 3, 9]), expected)
    assert max(stop - start for _, start, stop in asked) < 5
    assert len(read_records(shard, columns, np.arange(10))) == 10


def test_reading_a_shard_leaves_nothing_opened(source):
    """A cache of ten thousand shards would otherwise fill the memory, read by read."""
    source.lengths(np.arange(24))
    for shard in range(3):
        source.read(shard, np.arange(2))
    assert not any(shard.folder._arrays for shard in source.shards)


def test_batches_come_in_order_through_the_thread(source):
    """Reading ahead must change nothing but the waiting."""
    ahead = Prefetcher(steps(source, 4, seed=5, start=2))
    try:
        threaded = [next(ahead) for _ in range(9)]
    finally:
        ahead.close()
    direct = taken(steps(source, 4, seed=5, start=2), 9)
    assert all(same(a, b) for (a,), (b,) in zip(threaded, direct, strict=True))


def test_no_thread_is_left_when_a_training_ends_early(source):
    """Neither of a training that took its fill nor of one that failed."""
    before = threading.active_count()
    ahead = Prefetcher(steps(source, 4, seed=5, start=2))
    next(ahead)
    assert threading.active_count() > before
    ahead.close()
    assert threading.active_count() == before
    taken(steps(source, 4, 0, 0), 1)
    assert threading.active_count() == before


def test_closing_does_not_wait_for_the_step_that_is_on_its_way(source, monkeypatch):
    """A machine that may be taken away gives seconds; the first step of a large cache takes longer."""
    before, reading, gate = threading.active_count(), threading.Event(), threading.Event()
    read = source.read

    def slow(shard, places):
        reading.set()
        if shard == 1:
            gate.wait(20)
        return read(shard, places)

    monkeypatch.setattr(source, "read", slow)
    ahead = Prefetcher(steps(source, 24, seed=0, start=0))
    assert reading.wait(20)
    closing = threading.Thread(target=ahead.close)
    closing.start()
    threading.Timer(0.3, gate.set).start()
    closing.join(10)
    assert not closing.is_alive()
    assert ahead._queue.empty(), "the step was given up"
    deadline = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() == before


def test_damage_surfaces_where_the_step_is_asked_for(source, monkeypatch):
    """In whatever thread it is found."""

    def damaged(*_arguments):
        raise CacheDamagedError("a byte was flipped")

    monkeypatch.setattr(source, "read", damaged)
    ahead = Prefetcher(steps(source, 4, seed=0, start=0))
    try:
        for _ in range(2):
            with pytest.raises(CacheDamagedError, match="a byte was flipped"):
                next(ahead)
    finally:
        ahead.close()


OWN_THREADS = """
import os, sys, threading
import numpy as np
import torch
from miniend.models.families import FAMILIES
from miniend.student_train.reading.batch import make_batch
from miniend.student_train.reading.records import Columns, pack, pack_count

torch.set_num_threads(4)
rng = np.random.default_rng(0)
record = pack(rng.integers(0, 99, 600)) + pack(rng.integers(0, 99, 600)) + pack_count(1) + pack(rng.integers(-9, 9, (40, 600)))
sizes = np.full(600, 15)
lists = (sizes, rng.integers(0, 99, 9000), rng.integers(0, 9, 9000), sizes * 0, sizes[:0], sizes * 0, np.zeros((0, 600), int))
for block in lists:
    record += pack(block)
started = []

def work(task):
    before = len(os.listdir("/proc/self/task"))
    task()
    started.append(len(os.listdir("/proc/self/task")) - before)

def batch():
    make_batch(Columns(FAMILIES["t5"], (("c", "input"),), ("top-k", 99, False)), 0, range(128), [record] * 128)

def ranks():
    from miniend.cache.logit_columns import StoredLogits, _head_ranks
    many = np.full(40_000, 5)
    starts = np.arange(40_001) * 5
    _head_ranks(StoredLogits(many, np.ones(200_000), np.ones(200_000), many, many, many, many, starts, starts))

def torch_itself():
    torch.ones(2_000_000).exp()

for task in (batch, ranks, torch_itself):
    thread = threading.Thread(target=work, args=(task,))
    thread.start()
    thread.join()
print(started)
"""


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="counts threads as Linux tells them")
def test_what_the_loaders_threads_do_starts_no_openmp_threads():
    """With more of them than cores each parallel region of a step waits for threads that sleep."""
    ended = subprocess.run([sys.executable, "-c", OWN_THREADS], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    found = ast.literal_eval(ended.stdout)
    assert max(found[:2]) <= 0
    assert found[2] > 0, "the count would notice"
