"""A tiny cache, and one fork server for the tests that break dumps on purpose."""

import pytest

from support.fork_server import SMALL, ForkServer
from support.homes import ragged_home
from support.tiny_t5 import build_tiny_t5, tiny_texts, write_texts
from support.tiny_tokenizer import build_tiny_tokenizer

__all__ = ["ragged_home"]


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """Ready to dump with the smallest teacher and corpus there are."""
    root = tmp_path_factory.mktemp("faults")
    texts = tiny_texts(20, words=30)
    tokenizer = build_tiny_tokenizer(texts, 60, sentinels=8)
    teacher = build_tiny_t5(root / "teacher", tokenizer, layers=(1, 1), d_model=8, heads=2, d_kv=8)
    corpus = write_texts(root / "corpus.jsonl", texts)
    server = ForkServer(root, {**SMALL, "teacher": str(teacher), "corpus": str(corpus)})
    yield server
    server.close()


@pytest.fixture(scope="session")
def unbroken(server, tmp_path_factory):
    """A dump that nothing happened to, and its operations."""
    cache = tmp_path_factory.mktemp("unbroken") / "cache"
    status, report = server.run(cache, fault=(None, -1))
    assert (status, report["status"], report["complaints"]) == (0, 0, [])
    return cache, report["operations"]
