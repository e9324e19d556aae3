"""A tiny teacher, its corpus and a cache of it for the functions of `miniend`."""

import pytest

import miniend
from support.tiny_cache import DUMP, build_tiny_cache

SETTINGS = {**DUMP, "logits": "hybrid", "draws": 20}


@pytest.fixture(scope="session")
def home(tmp_path_factory):
    """`teacher/`, `corpus.jsonl` and `cache/`, dumped as a command does it."""
    folder = tmp_path_factory.mktemp("api")
    build_tiny_cache(folder, logits="hybrid", draws=20)
    return folder


@pytest.fixture(scope="session")
def dumped(home):
    """The keywords of that dump, without its cache."""
    return {**SETTINGS, "teacher": home / "teacher", "corpus": home / "corpus.jsonl"}


@pytest.fixture(scope="session")
def student(home):
    """A student of one step that `train_student` returned."""
    return miniend.train_student(
        cache=home / "cache", output=home / "student", size="2L32H", steps=2, batch_size=4, device="cpu", log=str
    )
