"""The layout: shards cover every example once, growth changes nothing old, and the chain of digests holds."""

import hashlib
import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miniend.errors import CacheDamagedError, CacheMismatchError
from miniend.storage.folder import publish_folder
from miniend.storage.layout import (
    ShardRange,
    cache_digest,
    calibration_path,
    extent_path,
    plan_path,
    read_extents,
    segment_path,
    shard_path,
    shard_table,
)

TOTALS = st.lists(st.integers(1, 500), max_size=5, unique=True).map(sorted)


def extend(root, totals, parent, size=4):
    """Publish a chain of extents."""
    for number, total in enumerate(totals):
        body = {"examples": total, "shard_examples": size, "parent": parent}
        parent = publish_folder(extent_path(root, number), "extent", body)
    return parent


@given(st.integers(0, 100), TOTALS, st.integers(1, 70))
def test_the_table_covers_every_example_once_in_numbered_shards(validation, totals, size):
    """A gap loses examples, an overlap shows them twice; neither raises."""
    table = shard_table(validation, totals, size)
    for split, expected in (("validation", validation), ("train", totals[-1] if totals else 0)):
        shards = [shard for shard in table if shard.split == split]
        assert [shard.number for shard in shards] == list(range(len(shards)))
        assert [i for shard in shards for i in range(shard.start, shard.stop)] == list(range(expected))
        assert all(0 < shard.stop - shard.start <= size for shard in shards)


@given(st.integers(0, 50), TOTALS, st.integers(1, 500), st.integers(1, 70))
def test_growing_a_cache_only_appends_shards(validation, totals, more, size):
    """A shard whose range changes is refused as foreign: the old part of the dump would be lost."""
    table = shard_table(validation, totals, size)
    grown = shard_table(validation, [*totals, (totals[-1] if totals else 0) + more], size)
    assert grown[: len(table)] == table
    assert len(grown) > len(table)


def test_an_extent_that_ends_within_a_shard_leaves_a_short_one():
    """The worked example of SPEC.md."""
    assert shard_table(3, [5, 10], 4) == [
        ShardRange("validation", 0, 0, 3),
        ShardRange("train", 0, 0, 4),
        ShardRange("train", 1, 4, 5),
        ShardRange("train", 2, 5, 9),
        ShardRange("train", 3, 9, 10),
    ]


def test_paths_are_the_ones_of_the_specification(tmp_path):
    """A renamed folder makes every existing cache unreadable."""
    paths = [
        plan_path(tmp_path),
        calibration_path(tmp_path),
        extent_path(tmp_path, 2),
        segment_path(tmp_path, "validation", 0),
        shard_path(tmp_path, "train", 1_234_567),
    ]
    assert [str(path.local.relative_to(tmp_path)) for path in paths] == [
        "plan",
        "calibration",
        "extents/000002",
        "segments/validation-000000",
        "shards/train-1234567",
    ]
    assert shard_path(tmp_path, "train", 7).name == ShardRange("train", 7, 0, 1).name


def test_extents_are_read_in_order_and_none_is_an_empty_list(tmp_path):
    """Directory listings come in any order; staging folders and strangers lie beside."""
    assert read_extents(tmp_path, "p") == []
    extend(tmp_path, [5, 10, 12], "p")
    (tmp_path / "extents" / ".staging-000003-1-ff").mkdir()
    (tmp_path / "extents" / ".DS_Store").touch()
    assert [extent.examples for extent in read_extents(tmp_path, "p")] == [5, 10, 12]


def test_a_hole_in_the_extents_is_refused(tmp_path):
    """The table would be cut at other places and old shards taken for foreign ones."""
    extend(tmp_path, [5, 10, 12], "p")
    shutil.rmtree(extent_path(tmp_path, 1).local)
    with pytest.raises(CacheDamagedError, match="000001 is missing"):
        read_extents(tmp_path, "p")


def test_an_extent_of_another_chain_is_refused(tmp_path):
    """Copied from another cache it has a right digest of its own."""
    extend(tmp_path / "a", [5, 10], "p")
    with pytest.raises(CacheMismatchError, match="expected parent q, found p"):
        read_extents(tmp_path / "a", "q")
    extend(tmp_path / "b", [6, 10], "p")
    shutil.rmtree(extent_path(tmp_path / "a", 1).local)
    shutil.copytree(extent_path(tmp_path / "b", 1).local, extent_path(tmp_path / "a", 1).local)
    with pytest.raises(CacheMismatchError, match="000001 belongs elsewhere"):
        read_extents(tmp_path / "a", "p")


@pytest.mark.parametrize("totals", [[5, 5], [5, 4], [0]])
def test_totals_that_do_not_grow_are_refused(tmp_path, totals):
    """They would drop shards that exist."""
    extend(tmp_path, totals, "p")
    with pytest.raises(CacheDamagedError, match="should be more than"):
        read_extents(tmp_path, "p")


def test_extents_of_unequal_shard_sizes_and_without_numbers_are_refused(tmp_path):
    """One shard size cuts the whole table."""
    parent = extend(tmp_path / "a", [5], "p")
    publish_folder(extent_path(tmp_path / "a", 1), "extent", {"examples": 9, "shard_examples": 5, "parent": parent})
    with pytest.raises(CacheDamagedError, match="expected 4 examples a shard, found 5"):
        read_extents(tmp_path / "a", "p")
    publish_folder(extent_path(tmp_path / "b", 0), "extent", {"parent": "p", "examples": "5"})
    with pytest.raises(CacheDamagedError, match="member examples should be an integer"):
        read_extents(tmp_path / "b", "p")


def test_the_digest_of_a_cache_is_the_one_of_the_specification_and_tells_every_change():
    """Students record it: two caches that differ must never share it."""
    digests = ["plan", "extent", "calibration", "shard 0", "shard 1"]
    seen = [cache_digest(digests[:count]) for count in range(1, 6)]
    assert seen[-1] == hashlib.sha256(b"plan\nextent\ncalibration\nshard 0\nshard 1\n").hexdigest()
    assert len({*seen, cache_digest(digests[::-1])}) == 6
