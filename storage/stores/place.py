"""Places: a folder of a cache is a local directory, or a prefix of an object store with a local mirror of what was read.

A mirror holds copies under the names that they have in the store. We do not trust it. We check data files against the SHA-256
of their document at each use, and documents against their own digest and their parents. What does not fit, we fetch once more
before we call it damaged. So a mirror may be removed, in part or whole, at any time.
"""

import errno
import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from ...errors import ConfigurationError, MiniEndError
from ...runtime.durable import is_there
from ...runtime.listing import everything_below
from ...runtime.there import NOT_UTF8, is_utf8
from ...runtime.user_cache import user_cache
from . import hub
from .bucket import SCHEMES as BUCKETS
from .bucket import Bucket, open_bucket
from .hub import HubDataset
from .store import Store

SCHEMES = (*BUCKETS, hub.SCHEME)

MIRROR_VARIABLE = "MINIEND_MIRROR"
FETCHING_PREFIX = ".fetching-"


@dataclass(frozen=True, slots=True)
class Place:
    """A folder of a cache, made by `place_of`. `place / name` is a folder within it, `str(place)` its path or URL."""

    local: Path
    """The directory itself, or the directory of the mirror."""
    bucket: Store | None = None
    """The store that has it; None for a local directory."""
    key: str = ""
    """The prefix in the store, without a slash at either end."""

    def __truediv__(self, name: str) -> "Place":
        return Place(self.local / name, self.bucket, self.key_of(name))

    def __str__(self) -> str:
        if self.bucket is None:
            return str(self.local)
        return f"{self.bucket.url}/{self.key}".rstrip("/")

    @property
    def pinned(self) -> str:
        """The path or URL under which another process finds the same version of it."""
        if self.bucket is None:
            return str(self.local.absolute())
        return f"{self.bucket.pinned_url}/{self.key}".rstrip("/")

    def require_writable(self) -> None:
        """Raise ConfigurationError for a place in a store that we only read."""
        if self.bucket is not None:
            self.writable()

    def writable(self) -> Bucket:
        """Return the bucket to publish into. Raise ConfigurationError for a place that is not in one."""
        if isinstance(self.bucket, Bucket):
            return self.bucket
        raise ConfigurationError(
            f"{self}: a cache on the hub can only be read; dump into a directory, and upload it with `miniend push-cache`"
        )

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.local.name

    def key_of(self, name: str) -> str:
        """Return the key in the store of a file or folder of this folder."""
        return f"{self.key}/{name}" if self.key else name

    def names(self) -> list[str]:
        """Return the sorted names of the files and folders in it; none if it does not exist."""
        if self.bucket is not None:
            return self.bucket.names(self.key)
        try:
            return sorted(os.listdir(self.local))
        except (FileNotFoundError, NotADirectoryError):
            return []

    def files(self) -> list[str]:
        """Return the relative paths of everything below it; for a local directory also the folders, which end in a slash."""
        if self.bucket is not None:
            return sorted(self.bucket.tags(self.key))
        paths = everything_below(self.local)
        return [path.relative_to(self.local).as_posix() + ("/" if path.is_dir() else "") for path in paths]

    def has(self, name: str) -> bool:
        """Return whether it holds a file or folder of this name, whatever the mirror holds."""
        if self.bucket is not None:
            return name in self.names()
        return is_there(self.local / name)

    def forget_beside(self) -> None:
        """Remove everything beside this folder from the mirror, except dotted names, which a live writer may use."""
        assert self.bucket is not None
        for path in self.local.parent.iterdir():
            if path != self.local and not path.name.startswith("."):
                shutil.rmtree(path, ignore_errors=True)

    def fetch(self, name: str, most: int) -> None:
        """Copy a file from the store into the mirror, whole or not at all.

        Raises FileNotFoundError if the store lacks it, CacheDamagedError if it has more than `most` bytes, and MiniEndError if
        the mirror cannot be written.
        """
        if self.bucket is None:
            raise ValueError(f"{self} is a local directory: expected a folder of an object store to fetch from")
        stored = self.bucket.get(self.key_of(name), most)
        if stored is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self / name))
        path = self.local / name
        with _mirror_named(self.local):
            path.parent.mkdir(parents=True, exist_ok=True)
            unfinished = self.local.parent / f"{FETCHING_PREFIX}{secrets.token_hex(8)}"
            try:
                unfinished.write_bytes(stored.data)
                os.replace(unfinished, path)
            finally:
                with suppress(OSError):
                    unfinished.unlink(missing_ok=True)


Where: TypeAlias = Place | Path | str
"""How a caller may name a folder: a place, a local path, or text that is a path or an s3://, gs://, az:// or hf:// URL."""


def place_of(where: Where) -> Place:
    """Return the place of a path or URL, without reading anything or sending a request.

    Raises ConfigurationError for a text that cannot be a path, an unknown scheme, a URL without a bucket, and if obstore or its
    settings are missing.
    """
    if isinstance(where, Place):
        return where
    text = str(where)
    if "\0" in text:
        raise ConfigurationError(f"{text}: expected a path, found a text with a NUL character")
    if not is_utf8(text):
        raise ConfigurationError(f"{text}: expected a path in UTF-8; {NOT_UTF8}")
    if isinstance(where, Path):  # a Path turns two slashes into one
        text = re.sub(rf"^({'|'.join(SCHEMES)}):/(?=[^/])", r"\1://", text)
    scheme, separator, rest = text.partition("://")
    if not separator:
        return Place(Path(text))
    if scheme not in SCHEMES:
        raise ConfigurationError(f"{text}: expected a local path or one of {', '.join(s + '://' for s in SCHEMES)}")
    if scheme == hub.SCHEME:
        return _on_the_hub(text)
    parts = [part for part in rest.split("/") if part]
    if not parts or rest.startswith("/") or {".", ".."} & set(parts):
        raise ConfigurationError(f"{text}: expected {scheme}://BUCKET/FOLDER")
    url = f"{scheme}://{'/'.join(parts)}"
    return Place(_mirror_of(url), open_bucket(scheme, parts[0]), "/".join(parts[1:]))


def _on_the_hub(text: str) -> Place:
    """Return the place of a folder of a data set. Everything that is made from it reads the same commit."""
    name, revision, folder = hub.parse_address(text)
    mirror = _mirror_of(f"hf://datasets/{name}@{revision or ''}/{folder}")
    return Place(mirror, HubDataset(name, revision, folder, mirror), folder)


def _mirror_of(url: str) -> Path:
    return _mirrors() / hashlib.sha256(url.encode()).hexdigest()[:16]


@contextmanager
def _mirror_named(local: Path) -> Iterator[None]:
    """Turn an error of the mirror's disk into a MiniEndError that names the mirror."""
    try:
        yield
    except OSError as error:
        raise MiniEndError(
            f"the mirror of the object store cannot be written ({error.strerror}): {error.filename or local}; make room "
            f"there, or name another folder in {MIRROR_VARIABLE}, and run the same command again"
        ) from error


def _mirrors() -> Path:
    """Return the folder of the mirrors of all caches. Raise ConfigurationError for a user without a home who names none."""
    if named := os.environ.get(MIRROR_VARIABLE):
        return Path(named)
    if kept := user_cache():
        return kept
    raise ConfigurationError(
        f"user {os.getuid()} does not have a home directory for the mirror of the object store; name a folder for it in "
        f"{MIRROR_VARIABLE}"
    )
