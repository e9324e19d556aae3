"""Files and folders on a disk, and what it means that one cannot be read at the moment."""

import errno
import os

import pytest

from miniend.runtime.durable import everything_below


def test_a_folder_that_cannot_be_listed_is_an_error_and_not_empty(tmp_path, monkeypatch):
    """Path.rglob passes over it: a shard was published without the files of a column."""
    for name in ("a/1", "a/b/2", "c"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    names = [path.relative_to(tmp_path).as_posix() for path in everything_below(tmp_path)]
    assert names == ["a", "a/1", "a/b", "a/b/2", "c"]
    assert everything_below(tmp_path / "missing") == []
    scan = os.scandir

    def refused(path):
        if str(path).endswith("b"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refused)
    with pytest.raises(PermissionError):
        everything_below(tmp_path)
