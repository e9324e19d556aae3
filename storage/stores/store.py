"""What a reader of caches needs of any remote store: the bytes of a file, and the names and tags below a folder."""

from abc import ABC, abstractmethod
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object's bytes, and the tag that the store gave to this version of it."""

    data: bytes
    tag: str


class Store(ABC):
    """A remote store with `/`-separated keys. Its methods raise ConfigurationError or ObjectStoreError."""

    url: str
    """The beginning of the URL of everything in it."""

    @property
    def pinned_url(self) -> str:
        """The URL under which another process finds the same version; most stores have one version only."""
        return self.url

    @abstractmethod
    def get(self, key: str, most: int) -> StoredObject | None:
        """Return a whole object; None if the store does not have it.

        Raises CacheDamagedError, before its bytes are fetched, for one of more than `most` bytes.
        """

    @abstractmethod
    def names(self, prefix: str) -> list[str]:
        """Return the names right below a prefix, of objects and of further prefixes."""

    @abstractmethod
    def tags(self, prefix: str) -> dict[str, str]:
        """Return the tags of all objects below a prefix, at any depth, by key relative to it."""
