"""A cache as a data set of torch: every example once, in the order of a training, in this process or in others."""

import pickle
import shutil
import warnings
from functools import partial

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

import miniend
from miniend.errors import CacheMismatchError
from miniend.student_train.reading import dataset, order
from miniend.student_train.reading.loader import BatchSource

FACTORS = ("query", "key", "value")
LOGITS = ("head_starts", "head_ids", "head_log_probabilities", "tail_mass", "draw_starts", "draw_ids", "draw_weights")


def key(example):
    return example.input_ids.tobytes() + example.labels.tobytes()


def same(one, other):
    """Whether two examples are the same to the bit."""
    arrays = [(one.ids[axis], other.ids[axis]) for axis in one.ids]
    arrays += [(getattr(one.relations[s], f), getattr(other.relations[s], f)) for s in one.relations for f in FACTORS]
    arrays += [(getattr(one.logits, name), getattr(other.logits, name)) for name in LOGITS]
    arrays += [(one.hidden[site], other.hidden[site]) for site in one.hidden]
    return list(one.relations) == list(other.relations) and all(np.array_equal(a, b) for a, b in arrays)


@pytest.fixture
def cache(ragged_home):
    return miniend.open_cache(ragged_home / "cache")


@pytest.fixture
def reads(monkeypatch):
    """The shards that are read, one number per reading."""
    read, numbers = BatchSource.read, []
    monkeypatch.setattr(
        BatchSource, "read", lambda self, shard, places: numbers.append(shard) or read(self, shard, places)
    )
    return numbers


def test_an_epoch_gives_every_example_once_as_the_cache_decodes_it_and_reads_each_shard_once(cache, reads):
    """A shuffling DataLoader read, hashed and unpacked a whole shard for nearly every example."""
    by_key = {key(example): example for example in cache}
    found = list(miniend.Dataset(cache, seed=3))
    assert [key(one) for one in found] != list(by_key)
    assert sorted(map(key, found)) == sorted(by_key)
    assert all(same(one, by_key[key(one)]) for one in found)
    assert sorted(reads) == list(range(len(cache.training.shards)))


def test_the_order_is_that_of_a_training_and_another_in_every_epoch(cache):
    """Seed and epoch decide, so a run can be repeated."""
    examples = miniend.Dataset(cache, seed=5)
    layout = BatchSource(cache.training, dataset._all_columns(cache.decoders), 0).layout
    stored = [key(example) for example in cache]
    for epoch in (0, 1):
        examples.epoch = epoch
        expected = [stored[i] for i in order.epoch_order(layout, 5, epoch).order.tolist()]
        assert [key(one) for one in examples] == expected == [key(one) for one in examples]


@pytest.mark.parametrize("epoch", [0, 2])
def test_a_cache_larger_than_the_memory_still_gives_every_example_once(cache, monkeypatch, epoch):
    """Windows of such an order reach over the end of the circle, and its stream of readings does not end."""
    layout = partial(order.Layout, budget=3000)
    monkeypatch.setattr(
        "miniend.student_train.reading.loader.Layout", lambda examples, stored, _budget: layout(examples, stored)
    )
    assert not BatchSource(cache.training, dataset._all_columns(cache.decoders), 0).layout.resident
    found = [key(one) for one in miniend.Dataset(cache, epoch=epoch)]
    assert sorted(found) == sorted(map(key, cache))


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_workers_share_the_examples(cache, monkeypatch, workers):
    """Without a share for each worker, an epoch would have every example as often as there are workers, and as much memory."""
    read, kept, found = BatchSource.read, [], []
    monkeypatch.setattr(
        BatchSource, "read", lambda self, shard, places: kept.extend(places) or read(self, shard, places)
    )
    for number in range(workers):
        info = type("Info", (), {"id": number, "num_workers": workers})
        monkeypatch.setattr(dataset, "get_worker_info", lambda info=info: info)
        found.append([key(one) for one in miniend.Dataset(cache.validation, seed=1)])
    assert len(kept) == len(cache.validation)
    monkeypatch.setattr(dataset, "get_worker_info", lambda: None)
    alone = [key(one) for one in miniend.Dataset(cache.validation, seed=1)]
    assert [found[place % workers][place // workers] for place in range(len(alone))] == alone


def test_spawned_workers_open_the_cache_anew(cache):
    """macOS, Windows, CUDA and Python 3.14 start workers like that; they could not pickle a lock, or hung."""
    dataset = miniend.Dataset(cache, sites=("encoder.self",), logits=True, seed=1)
    made = partial(DataLoader, dataset, batch_size=5, collate_fn=dataset.collate)
    here = list(made())
    there = list(made(num_workers=1, multiprocessing_context="spawn"))
    assert len(here) == len(there) > 1
    for one, other in zip(here, there, strict=True):
        assert torch.equal(one["labels"], other["labels"])
        assert torch.equal(one["sites"]["encoder.self"]["key"], other["sites"]["encoder.self"]["key"])
        assert torch.equal(one["logits"]["draw_weights"], other["logits"]["draw_weights"])


def test_everything_that_crosses_processes_can_be_pickled(cache):
    """The example is decoded, the cache and its splits are opened anew at the part that they had."""
    again, split, example = pickle.loads(pickle.dumps((cache, cache.validation, cache[1])))
    assert (again.digest, again.part) == (cache.digest, cache.part)
    assert same(again[3], cache[3])
    assert same(split[0], cache.validation[0])
    assert same(example, cache[1])
    assert np.array_equal(example.relations["encoder.self"].key, cache[1].relations["encoder.self"].key)


def test_a_cache_that_was_replaced_meanwhile_is_refused(ragged_home, span_home, tmp_path):
    """A worker would train on other examples."""
    shutil.copytree(ragged_home / "cache", tmp_path / "cache")
    pickled = pickle.dumps(miniend.open_cache(tmp_path / "cache"))
    shutil.rmtree(tmp_path / "cache")
    shutil.copytree(span_home / "cache", tmp_path / "cache")
    with pytest.raises(CacheMismatchError, match="is not the cache that it was"):
        pickle.loads(pickled)


def test_reading_at_random_is_said_once_and_reading_in_order_is_not(cache, monkeypatch):
    """It is ten times slower, and nothing shows why."""
    monkeypatch.setattr("miniend.cache.cache.MANY", 100_000)
    with pytest.warns(UserWarning, match="miniend.Dataset") as caught:
        _ = [cache[place] for place in (0, -1) * 40]
    assert len(caught) == 1
    ordered = miniend.open_cache(cache.path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(40):
            list(ordered.validation)
            list(ordered)


def test_what_is_printed_says_what_it_is_in_one_line(cache):
    """Objects are looked at in a notebook: addresses say nothing, and whole arrays too much."""
    shown = repr(cache)
    assert f"{len(cache)} training and {len(cache.validation)} validation examples" in shown
    assert "encoder.self@1" in shown
    assert "logits top-k" in shown
    assert f"{len(cache.validation)} examples in 1 shards: validation" in repr(cache.validation)
    assert f"{len(cache[0].labels)} target ids, relations <encoder.self@1" in repr(cache[0])
    assert all("\n" not in text and len(text) < 600 for text in (shown, repr(cache.training), repr(cache[0])))
