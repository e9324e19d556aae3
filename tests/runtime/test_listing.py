"""Folders are listed whole or not at all, and a glob finds what Python's own finds."""

import errno
import glob
import os

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from miniend.runtime.listing import entries, everything_below, matching

NAMES = ("a", "b.txt", ".c", "d[1]", "é")
PARTS = (*NAMES, "*", "**", "?", "*.txt", "[ab]*", ".*", ".", "..", "d[[]1]", "", "none")
TREES = st.sets(st.lists(st.sampled_from(NAMES), min_size=1, max_size=4).map("/".join), min_size=1, max_size=8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("listing")


def plant(root, files):
    """Make files, and their folders; what is a folder already stays one."""
    for name in sorted(files, key=len, reverse=True):
        if not any(other.startswith(f"{name}/") for other in files):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).touch()


def below(root, names):
    return [path.relative_to(root).as_posix() for path in names]


@settings(max_examples=100)
@given(TREES, st.lists(st.sampled_from(PARTS), min_size=1, max_size=4), st.booleans())
@example({"a/b.txt", "a/a/b.txt"}, ["**", "**", "*.txt"], False)
@example({"d[1]/b.txt"}, ["d[1]", "*"], True)
def test_a_glob_matches_what_pythons_own_matches(tmp_path_factory, tree, parts, relative):
    """People have tried their globs with other tools: a file more or less is another corpus."""
    root = tmp_path_factory.mktemp("tree")
    plant(root, tree)
    before = os.getcwd()
    os.chdir(root)
    try:
        pattern = "/".join(parts) if relative else f"{glob.escape(str(root))}/{'/'.join(parts)}"
        theirs = {os.path.normpath(one) for one in glob.glob(pattern, recursive=True) if os.path.lexists(one)}
        found = matching(pattern)
        assert found == sorted(set(found), key=str), "the file system's own order differs between machines"
        assert {os.path.normpath(one) for one in found} - {"."} == theirs - {"."}
    finally:
        os.chdir(before)


def test_a_folder_that_links_to_itself_is_read_once(tmp_path):
    """glob.glob goes around until the name is too long: each file was in the corpus 41 times."""
    plant(tmp_path, {"data/b.txt", "other/c.txt"})
    (tmp_path / "data" / "again").symlink_to(tmp_path / "data")
    (tmp_path / "data" / "other").symlink_to(tmp_path / "other")
    (tmp_path / "data" / "round").symlink_to("round")
    assert len(glob.glob(f"{tmp_path}/data/**/b.txt", recursive=True)) > 30
    assert below(tmp_path, matching(f"{tmp_path}/data/**/*.txt")) == ["data/b.txt", "data/other/c.txt"]
    assert [path.name for path in everything_below(tmp_path / "data")] == ["again", "b.txt", "other", "round"]


def test_folders_may_be_deeper_than_python_calls_functions(tmp_path):
    """A stranger's cache with a thousand folders inside each other ended `verify` in a traceback."""
    depth = 1010
    for number in range(1, depth + 1):
        os.mkdir(tmp_path / "/".join("x" * number))
    found = everything_below(tmp_path)
    last = matching(f"{tmp_path}/**/x")[-1]
    for path in reversed(found):  # pytest cannot
        path.rmdir()
    assert (len(found), last) == (depth, tmp_path / "/".join("x" * depth))


def test_names_that_nothing_can_have_match_nothing(tmp_path):
    """A YAML file can spell them."""
    for name in ("a\0b", "\ud800", "x" * 300, "a\0/*.txt"):
        assert matching(f"{tmp_path}/{name}") == []


LISTINGS = {
    "entries": lambda root: entries(root / "a" / "b"),
    "everything": everything_below,
    "stars": lambda root: matching(f"{root}/*/*/*"),
    "any depth": lambda root: matching(f"{root}/**/*.txt"),
    "to the end": lambda root: matching(f"{root}/**"),
}


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.ESTALE, errno.EMFILE])
@pytest.mark.parametrize("listing", LISTINGS)
def test_a_folder_that_cannot_be_listed_is_an_error_and_not_empty(tmp_path, monkeypatch, listing, number):
    """Python passes over it: a shard was published without the files of a column, a corpus would lack files."""
    plant(tmp_path, {"a/1.txt", "a/b/2.txt", "c"})
    assert LISTINGS[listing](tmp_path)
    scan = os.scandir

    def refused(path):
        if str(path).endswith("b"):
            raise OSError(number, os.strerror(number), str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refused)
    with pytest.raises(OSError) as caught:
        LISTINGS[listing](tmp_path)
    assert caught.value.errno == number


def test_what_is_not_there_is_empty(tmp_path):
    """A first run has nothing to list."""
    plant(tmp_path, {"file"})
    for path in (tmp_path / "missing", tmp_path / "file"):
        assert (entries(path), everything_below(path), matching(f"{path}/*")) == ([], [], [])


def test_entries_are_chosen_by_how_their_names_start_and_end(tmp_path):
    """Claims and records of seeds are known by that."""
    plant(tmp_path, {"b-1.json", "a-1.json", "a-1.txt", "a-0.json"})
    assert below(tmp_path, entries(tmp_path, "a-", ".json")) == ["a-0.json", "a-1.json"]
