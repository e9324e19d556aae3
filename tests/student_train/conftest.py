"""Tiny caches that the tests of stage two share."""

import shutil

import pytest

import miniend
from support.homes import layers_home, ragged_home, span_home, umt5_home
from support.sorted_teachers import sorted_ragged, sorted_span
from support.tiny_cache import LOSSLESS, PAIRS, build_tiny_cache

__all__ = ["layers_home", "ragged_home", "sorted_ragged", "sorted_span", "span_home", "umt5_home"]


@pytest.fixture(scope="session")
def lossless_home(tmp_path_factory):
    """Ragged pairs of a tied T5, calibrated temperatures, the whole head kept at steps that no loss can feel."""
    folder = tmp_path_factory.mktemp("lossless")
    build_tiny_cache(folder, **PAIRS, **LOSSLESS | {"sharpen": 1.0, "relation_temperature": "calibrated"})
    return folder


@pytest.fixture(scope="session")
def logit_caches(ragged_home, tmp_path_factory):
    """By kind, caches of ragged pairs that hold distributions alone, of the ragged cache's teacher."""
    folder = tmp_path_factory.mktemp("kinds")
    settings = {**PAIRS, "teacher": ragged_home / "teacher", "signals": "none", "validation_examples": 0}
    paths = [
        build_tiny_cache(folder, **settings, logits=kind, cache=folder / kind)
        for kind in ("top-k", "sampled", "hybrid")
    ]
    return {path.name: miniend.open_cache(path) for path in paths}


@pytest.fixture(scope="session")
def ragged(ragged_home):
    return miniend.open_cache(ragged_home / "cache")


@pytest.fixture(scope="session")
def layers(layers_home):
    return miniend.open_cache(layers_home / "cache")


@pytest.fixture
def own_span_cache(span_home, tmp_path):
    """A copy of the span cache that a test may damage."""
    return shutil.copytree(span_home / "cache", tmp_path / "own-cache")
