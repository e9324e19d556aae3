"""Lists of many files: what a plan says of them, and what differs in two."""

import hashlib
import json

import pytest

from miniend.storage.documents.plan import CorpusFile, CorpusPart
from miniend.teacher_dump.corpus import file_lists
from miniend.teacher_dump.corpus.file_lists import first_difference, with_list


def list_of(*files):
    return "".join(
        json.dumps({"bytes": size, "name": name, "sha256": 64 * "0"}) + "\n" for name, size in files
    ).encode()


OURS = list_of(("a", 1), ("b", 2))


@pytest.mark.parametrize(
    ("theirs", "said"),
    [
        (list_of(("a", 1), ("c", 2)), "file 2 there is 'c', now 'b'"),
        (list_of(("a", 1), ("b", 1000)), "'b' (file 2) has other content: there 1,000 bytes, now 2"),
        (list_of(("a", 1)), "one list is the beginning of the other"),
        (b"[]\n", "line 1 of the list there is not a file"),
        (b"[" * 100_000 + b"\n", "line 1 of the list there is not a file"),
        (b"\xff\n", "line 1 of the list there is not a file"),
        (list_of(("a", "x")), "line 1 of the list there is not a file"),
    ],
)
def test_the_first_difference_is_named_whatever_is_in_a_strangers_list(theirs, said):
    """Of 300,000 files nobody would find it; a list that is not one was a traceback."""
    assert first_difference(theirs, OURS) == said


def test_what_a_plan_says_of_a_list_identifies_its_files(monkeypatch):
    """A changed file of the same length would go on with a cache of the old one."""
    monkeypatch.setattr(file_lists, "MOST_IN_PLAN", 1)
    pairs = [[("a", "0"), ("b", digit)] for digit in "01"]
    files = [tuple(CorpusFile(name=name, bytes=9, sha256=64 * digit) for name, digit in pair) for pair in pairs]
    parts = [CorpusPart(kind="files", weight=1.0, files=of) for of in files]
    listed = [with_list(part) for part in parts]
    for part, content in listed:
        assert (part.files, part.file_list.count, part.file_list.bytes) == (None, 2, 18)
        assert part.file_list.sha256 == hashlib.sha256(content).hexdigest()
    assert listed[0][0] != listed[1][0]
