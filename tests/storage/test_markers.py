"""Markers: a folder is opened only in its own place of its own cache."""

import pytest

from miniend.errors import CacheDamagedError, CacheMismatchError
from miniend.storage.folder import publish_folder
from miniend.storage.layout import ShardRange
from miniend.storage.markers import marker_members, open_marked

PLACE = ShardRange("train", 2, 8, 12)


def test_a_folder_opens_in_its_place(tmp_path):
    """The members that a writer puts in are the ones that a reader compares."""
    publish_folder(tmp_path / "a", "marker", {**marker_members(PLACE, "p"), "more": 1})
    assert open_marked(tmp_path / "a", PLACE, "p").document["more"] == 1


@pytest.mark.parametrize(
    ("place", "parent", "key"),
    [
        (PLACE, "q", "parent"),
        (ShardRange("validation", 2, 8, 12), "p", "split"),
        (ShardRange("train", 1, 8, 12), "p", "number"),
        (ShardRange("train", 2, 7, 12), "p", "start"),
        (ShardRange("train", 2, 8, 13), "p", "stop"),
    ],
)
def test_a_foreign_or_swapped_folder_is_refused(tmp_path, place, parent, key):
    """It is sound in itself, so no checksum tells: a student would pair signals with other examples."""
    publish_folder(tmp_path / "a", "marker", marker_members(PLACE, "p"))
    with pytest.raises(CacheMismatchError, match=f"belongs elsewhere: expected {key}"):
        open_marked(tmp_path / "a", place, parent)


def test_a_missing_marker_is_damage(tmp_path):
    """An empty folder is no shard."""
    with pytest.raises(CacheDamagedError, match="cannot be read"):
        open_marked(tmp_path, PLACE, "p")
