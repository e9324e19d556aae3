"""Digests of large files are kept, and never for a file that may have changed."""

import hashlib
import os
import time

import pytest

from miniend.data import digests
from miniend.data.digests import digests_of
from miniend.errors import CorpusError


@pytest.fixture
def corpus(tmp_path, monkeypatch):
    """A file that was written long ago and is large enough to keep its digest."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(digests, "KEPT_FROM", 10)
    monkeypatch.setattr(digests, "SETTLED", 0)
    path = tmp_path / "corpus.jsonl"
    path.write_bytes(b"some text\n" * 100)
    return path


@pytest.fixture
def hashed(monkeypatch):
    """The number of bytes that were hashed."""
    real, sizes = hashlib.sha256, []

    class Counted:
        def __init__(self, *data):
            self.digest, self.hexdigest = (inner := real(*data)).digest, inner.hexdigest
            self.inner = inner

        def update(self, data):
            sizes.append(len(data))
            self.inner.update(data)

    monkeypatch.setattr(digests.hashlib, "sha256", Counted)
    return sizes


def right(path):
    return [hashlib.new("sha256", path.read_bytes()).hexdigest()]


def test_an_unchanged_file_is_hashed_once(corpus, hashed):
    """300 GB take 20 to 60 minutes at every start."""
    assert digests_of([corpus]) == digests_of([corpus]) == right(corpus)
    assert sum(hashed) == 1000


def test_a_changed_file_is_hashed_again(corpus):
    """Other text under an old digest would be spliced onto an old cache. Neither a kept length nor a kept time hides it."""
    assert digests_of([corpus]) == right(corpus)
    times = corpus.stat()
    time.sleep(0.02)
    corpus.write_bytes(b"more text\n" * 100)
    os.utime(corpus, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert digests_of([corpus]) == right(corpus)


def test_a_file_that_was_just_written_is_not_kept(corpus, hashed, monkeypatch):
    """File systems count time in steps: it may change again without another time."""
    monkeypatch.setattr(digests, "SETTLED", 10**12)
    assert digests_of([corpus]) == digests_of([corpus]) == right(corpus)
    assert sum(hashed) == 2000


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\xff", b'{"sha256": 1}'])
def test_a_broken_note_of_a_digest_is_passed_over(corpus, content):
    """The folder may be cleared, or filled by a crash."""
    digests_of([corpus])
    [note] = (corpus.parent / "cache").rglob("*.json")
    note.write_bytes(content)
    assert digests_of([corpus]) == right(corpus)


def test_a_home_that_cannot_be_written_costs_only_time(corpus, monkeypatch):
    """Containers often have one."""
    (corpus.parent / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(corpus.parent / "file"))
    assert digests_of([corpus]) == right(corpus)


def test_many_small_files_are_hashed_once(corpus, hashed, monkeypatch):
    """300,000 files of one kilobyte take as many openings as bytes; a resume only asks for their times."""
    monkeypatch.setattr(digests, "KEPT_FROM", 10**9)
    monkeypatch.setattr(digests, "KEPT_FILES", 3)
    paths = [corpus.with_name(f"{n}.txt") for n in range(3)]
    for path in paths:
        path.write_text("x" * 10)
    assert digests_of(paths) == digests_of(paths)
    assert sum(hashed) == 30
    assert digests_of(paths[:2]) == digests_of(paths)[:2]
    paths[1].write_text("y" * 11)
    assert digests_of(paths)[1] == right(paths[1])[0]
    assert sum(hashed) == 41
    assert len(list((corpus.parent / "cache").rglob("*.json"))) == 1


def test_an_interruption_keeps_what_was_hashed(corpus, hashed):
    """An hour of hashing is not repeated because of Ctrl-C in the next file."""
    bad = corpus.with_name("gone.jsonl")
    bad.mkdir()
    with pytest.raises(CorpusError, match=r"gone\.jsonl cannot be read to its end"):
        digests_of([corpus, bad])
    assert digests_of([corpus]) == right(corpus)
    assert sum(hashed) == 1000
