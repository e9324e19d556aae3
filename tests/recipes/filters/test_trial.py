"""Filters of a few steps on a throwaway cache, and how long the real ones would take."""

import shutil

import pytest

import miniend
from miniend.recipes.filters import trial
from miniend.recipes.filters.config import FiltersConfig


@pytest.fixture
def unfinished(layers_home, tmp_path):
    shutil.copytree(layers_home / "cache", tmp_path / "cache")
    shutil.rmtree(tmp_path / "cache" / "shards" / "train-000001")
    return tmp_path / "cache"


def test_an_unfinished_cache_gets_filters_and_the_seconds_are_those_of_all_batches_and_steps(
    unfinished, layers_home, monkeypatch
):
    """A second for each of three batches would be this many."""
    monkeypatch.setattr(trial, "timed", lambda _device, work: (work(), 3.0))
    config = FiltersConfig(
        cache=unfinished, teacher=str(layers_home / "teacher"), filter_steps=7, batch_size=2, device="cpu"
    )
    seconds = trial.trial_filters(config)
    cache = miniend.open_cache(unfinished, allow_unfinished=True)
    training, held_out = cache.extents[-1].examples, cache.plan.validation_examples
    assert seconds == pytest.approx(-(-training // 2) + 2 * -(-held_out // 2) + 7)
    assert {len(cache.filters), *(one.width for one in cache.filters.values())} == {8}


def test_the_seconds_are_measured(unfinished, layers_home):
    config = FiltersConfig(cache=unfinished, teacher=str(layers_home / "teacher"), batch_size=4, device="cpu")
    assert 0.01 < trial.trial_filters(config) < 1000
