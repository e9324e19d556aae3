"""Places: paths and URLs are told apart, and the mirror is filled by whole files alone."""

import sys
from pathlib import Path

import pytest

from miniend.errors import CacheDamagedError, ConfigurationError
from miniend.storage.stores.bucket import open_bucket
from miniend.storage.stores.place import Place, place_of


def test_a_path_is_a_local_place_and_its_names_are_its_files(tmp_path):
    """Everything that worked with directories goes through here."""
    for where in (tmp_path, str(tmp_path), Place(tmp_path)):
        assert place_of(where) == Place(tmp_path)
    (tmp_path / "b").mkdir()
    (tmp_path / "a").touch()
    place = place_of(tmp_path)
    assert place.names() == ["a", "b"]
    assert (place / "missing").names() == (place / "a").names() == []
    assert place.has("b")
    assert not place.has("c")
    assert str(place / "b") == str(tmp_path / "b")


def test_a_url_is_a_bucket_a_key_and_a_mirror_of_its_own(bucket, tmp_path):
    """Two caches in one mirror would overwrite each other; a trailing slash is no other cache."""
    place = place_of(f"{bucket.url}/some/cache/")
    assert (str(place), place.key, place.bucket.name) == (f"{bucket.url}/some/cache", "some/cache", bucket.name)
    assert str(place / "plan") == f"{bucket.url}/some/cache/plan"
    assert place.local.parent == tmp_path / "mirror"
    assert len(place.local.name) == 16
    assert (place / "plan").local == place.local / "plan"
    assert place == place_of(f"{bucket.url}/some//cache") == place_of(Path(f"{bucket.url}/some/cache"))
    assert place_of(f"{bucket.url}/other").local != place.local
    assert place_of(bucket.url).key_of("plan") == "plan"


@pytest.mark.parametrize(
    "url", ["http://host/x", "S3://b/x", "file:///x", "s3://", "s3:///x", "gs:///", "s3://b/../c", "a\0b"]
)
def test_urls_that_name_no_folder_are_refused(url):
    """Taken for a path, each would make a directory of a strange name."""
    with pytest.raises(ConfigurationError, match="expected"):
        place_of(url)


def test_a_missing_obstore_is_said_with_the_name_of_the_extra(monkeypatch):
    """An ImportError names a module that nobody has heard of."""
    open_bucket.cache_clear()
    monkeypatch.setitem(sys.modules, "obstore.store", None)
    with pytest.raises(ConfigurationError, match=r"miniend\[cloud\]"):
        place_of("s3://somewhere/x")


def test_a_file_is_fetched_into_the_mirror_whole(bucket):
    """What lies there is what the store had, and nothing unfinished lies beside it."""
    bucket.write("cache/plan/deep/file", b"content")
    folder = place_of(f"{bucket.url}/cache") / "plan"
    folder.fetch("deep/file", 7)
    assert (folder.local / "deep" / "file").read_bytes() == b"content"
    assert [path.name for path in folder.local.parent.rglob("*")] == ["plan", "deep", "file"]
    with pytest.raises(FileNotFoundError):
        folder.fetch("other", 7)
    with pytest.raises(CacheDamagedError, match="plan/deep/file is damaged: expected at most 6 bytes, found 7"):
        folder.fetch("deep/file", 6)
    assert folder.names() == ["deep"]
    assert folder.files() == ["deep/file"]
