"""Users without a name and without a home, as containers have them."""

import pwd

import pytest

from miniend.data.digests import digests_of
from miniend.errors import ConfigurationError
from miniend.runtime.user_cache import user_cache
from miniend.storage.stores.place import place_of


@pytest.fixture
def homeless(monkeypatch):
    """A user id that /etc/passwd does not list, in a container that sets no HOME."""

    def unlisted(uid):
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    for name in ("HOME", "USER", "LOGNAME", "XDG_CACHE_HOME", "MINIEND_MIRROR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unlisted)


def test_a_corpus_is_hashed_without_a_home(homeless, tmp_path):
    """Every dump of files was a traceback."""
    assert user_cache() is None
    for number in range(1001):
        (tmp_path / f"{number}.txt").touch()
    assert len(set(digests_of(sorted(tmp_path.iterdir())))) == 1


def test_the_mirror_needs_a_folder_with_a_name(homeless, monkeypatch, tmp_path):
    """A folder that everyone may write would be another user's to fill."""
    with pytest.raises(ConfigurationError, match=r"does not have a home directory.* MINIEND_MIRROR"):
        place_of("s3://bucket/cache")
    monkeypatch.setenv("MINIEND_MIRROR", str(tmp_path))
    assert place_of("s3://bucket/cache").local.parent == tmp_path


def test_the_folder_of_the_desktop_standard_is_taken(monkeypatch, tmp_path):
    """A read-only home is set aside with this variable."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert user_cache() == tmp_path / "miniend"
