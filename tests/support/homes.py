"""Fixtures of tiny caches that the tests of several folders share: a `conftest.py` imports those that its folder uses."""

import pytest

from support.tiny_cache import PAIRS, build_tiny_cache

__all__ = ["ragged_home", "span_home", "umt5_home"]


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
def umt5_home(tmp_path_factory):
    """The same of an untied umT5: ragged pairs."""
    folder = tmp_path_factory.mktemp("umt5")
    build_tiny_cache(folder, **PAIRS, model_type="umt5", tied=False)
    return folder
