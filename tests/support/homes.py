"""Fixtures of tiny caches that the tests of several folders share: a `conftest.py` imports those that its folder uses."""

import pytest

from support.tiny_cache import EVERY_LAYER, LOSSLESS, PAIRS, build_tiny_cache

__all__ = ["layers_home", "ragged_home", "span_home", "umt5_home"]


@pytest.fixture(scope="session")
def span_home(tmp_path_factory):
    """`teacher` and `cache`: tied T5, span corruption, three training shards and one of validation, default fidelity."""
    folder = tmp_path_factory.mktemp("span")
    build_tiny_cache(folder)
    return folder


@pytest.fixture(scope="session")
def ragged_home(tmp_path_factory):
    """The same of an untied, gated teacher with inner 48 of d_model 32: ragged pairs, calibrated temperatures."""
    folder = tmp_path_factory.mktemp("ragged")
    settings = {"tied": False, "v11": True, "d_kv": 12, "sharpen": 1.0, "relation_temperature": "calibrated"}
    build_tiny_cache(folder, **PAIRS, **settings)
    return folder


@pytest.fixture(scope="session")
def layers_home(tmp_path_factory):
    """The states of all layers of an untied, gated teacher of 4+4 layers, and Q, K and V of two, all nearly without loss."""
    folder = tmp_path_factory.mktemp("layers")
    build_tiny_cache(folder, **{**PAIRS, **LOSSLESS, **EVERY_LAYER}, hidden_error=1e-6)
    return folder


@pytest.fixture(scope="session")
def umt5_home(tmp_path_factory):
    """The same of an untied umT5: ragged pairs."""
    folder = tmp_path_factory.mktemp("umt5")
    build_tiny_cache(folder, **PAIRS, model_type="umt5", tied=False)
    return folder
