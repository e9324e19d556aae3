"""What differs in two lists of many files."""

import json

import pytest

from miniend.teacher_dump.corpus.file_lists import first_difference


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
