"""A tiny teacher, its corpus and a cache of it, for scripts and notebooks."""

import pytest

from support.tiny_cache import build_tiny_cache


@pytest.fixture(scope="session")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("examples")
    build_tiny_cache(folder, logits="hybrid", draws=20)
    return folder
