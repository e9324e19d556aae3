"""Registries of the things that can be chosen by name; each entry is one file and one line."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, TypeVar

from ..errors import ConfigurationError

T = TypeVar("T")
V = TypeVar("V")


class Registry(Mapping[str, V]):
    """A mapping from names to entries. For an unknown name it raises ConfigurationError, which lists the known names.

    A module of the package, or a user's own module (`--plugin`), adds an entry with `register`.
    """

    def __init__(self, what: str) -> None:
        self.what = what
        self._entries: dict[str, V] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Return a decorator that adds its argument under `name`. Raises ConfigurationError if the name is taken."""

        def add(entry: T) -> T:
            self.add(name, entry)  # type: ignore[arg-type]
            return entry

        return add

    def add(self, name: str, entry: V) -> None:
        """Add an entry under `name`. Raises ConfigurationError if another entry has that name."""
        if name in self._entries and self._entries[name] is not entry:
            raise ConfigurationError(f"{self.what} {name!r} is registered already; choose another name")
        self._entries[name] = entry

    def __getitem__(self, name: str) -> V:
        if name not in self._entries:
            raise ConfigurationError(f"unknown {self.what} {name!r}; expected one of {', '.join(self._entries)}")
        return self._entries[name]

    def get(self, name: str, default: Any = None) -> Any:
        """Return the entry of this name, or the default."""
        return self._entries.get(name, default)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


def import_entries(package: str, path: Iterable[str]) -> None:
    """Import every module of a package's folder, so that each file registers its entries: the listing is the registry."""
    for module in sorted(found.name for found in iter_modules(path)):
        import_module(f"{package}.{module}")
