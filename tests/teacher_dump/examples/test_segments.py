"""Segments by number: the folder that holds one is found whatever the sizes of the folders before it."""

from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import miniend
from miniend.errors import CacheMismatchError
from miniend.teacher_dump.examples import segments as module
from miniend.teacher_dump.examples.segments import SegmentStore, _Folders
from support.tiny_cache import build_tiny_cache


def folders_of(sizes):
    """Folders of so many segments each, of which only the markers matter here."""
    folders, stop = _Folders(), 0
    for size in sizes:
        start, stop = stop, stop + size
        folders.append(SimpleNamespace(marker=SimpleNamespace(start=start, stop=stop)))
    return folders


@given(st.lists(st.one_of(st.just(0), st.just(1), st.integers(2, 50)), max_size=12))
def test_every_segment_is_in_the_folder_whose_range_has_it(sizes):
    """Folders of grown dumps are short in the middle, and that of an exhausted corpus may be empty."""
    folders = folders_of(sizes)
    assert folders.total == sum(sizes)
    for index in range(sum(sizes)):
        marker = folders[folders.place_of(index)].marker
        assert marker.start <= index < marker.stop
    for index in (-1, sum(sizes), sum(sizes) + 7):
        with pytest.raises(IndexError, match="expected a segment below"):
            folders.place_of(index)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A store of segments in folders of at most three."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "SEGMENTS_PER_FOLDER", 3)
        cache = miniend.open_cache(build_tiny_cache(home, examples=20, signals="encoder.self"))
    return SegmentStore(cache.path, cache.plan)


def test_segments_are_those_of_the_folders_end_to_end(store):
    """Against the columns of all folders, read one after the other."""
    assert len(store._folders["train"]) > 3
    for split, folders in store._folders.items():
        parts = [(one.folder.column("segments.ids"), one.folder.column("segments.offsets")) for one in folders]
        rows = [ids[begin:end] for ids, offsets in parts for begin, end in pairwise(offsets)]
        assert len(rows) == store.count(split)
        for index in np.random.default_rng(0).permutation(len(rows)):
            [ids] = store.segment(split, int(index))
            assert np.array_equal(ids, rows[index])


def test_each_marker_is_read_once_when_a_store_opens(store, monkeypatch):
    """A run of a hundred million examples has 24,000 of them."""
    opened = []
    folder = module.PublishedFolder
    monkeypatch.setattr(
        module, "PublishedFolder", lambda path, *rest, **more: opened.append(path) or folder(path, *rest, **more)
    )
    monkeypatch.setattr(module, "open_marked", lambda *_: pytest.fail("opened again"))
    again = SegmentStore(store._root, store._plan)
    assert len(opened) == sum(map(len, again._folders.values()))


def test_folders_of_another_place_are_refused(store, tmp_path):
    """A store that took what it finds would mix segments."""
    other = replace(store._plan, digest="0" * 64)
    with pytest.raises(CacheMismatchError, match="belongs elsewhere"):
        SegmentStore(store._root, other)
