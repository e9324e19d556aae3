"""Caches that lack what some terms need."""

import pytest

import miniend
from support.tiny_cache import build_tiny_cache


@pytest.fixture(scope="session")
def poor_caches(tmp_path_factory):
    """One cache without logits, and one whose only relations are those of two decoder layers."""
    folder = tmp_path_factory.mktemp("poor")
    build_tiny_cache(folder, cache=folder / "no-logits", logits="none", validation_examples=0)
    few = {"signals": "decoder.self@0,decoder.self@1", "validation_examples": 0}
    build_tiny_cache(folder, teacher=folder / "teacher", cache=folder / "few", **few)
    return {name: miniend.open_cache(folder / name) for name in ("no-logits", "few")}
