"""Registries of the things that can be chosen by name; each entry is one file and one line."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, TypeVar

from ..errors import ConfigurationError, shortened

T = TypeVar("T")
V = TypeVar("V")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")
"""The form of a name: it can be before a colon, in a list with commas, and in the name of a folder."""
OR_A_PLUGIN = "or --plugin with a module that adds it"
"""The end of a message that lists the known names."""


class Registry(Mapping[str, V]):
    """A mapping from names to entries. For an unknown name it raises ConfigurationError, which lists the known names.

    A module of the package, or a user's own module (`--plugin`), adds an entry with `register`. `fits` says whether an entry
    under a name can be used, `expected` says in words what can.
    """

    def __init__(self, what: str, expected: str, fits: Callable[[str, Any], bool]) -> None:
        self.what, self.expected, self._fits = what, expected, fits
        self._entries: dict[str, V] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Return a decorator that adds its argument under `name`, as `add` does."""

        def add(entry: T) -> T:
            self.add(name, entry)  # type: ignore[arg-type]
            return entry

        return add

    def add(self, name: str, entry: V) -> None:
        """Add an entry under `name`. Raises ConfigurationError if another entry has that name, or if it cannot be used."""
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise ConfigurationError(
                f"{self.what} {name!r}: expected a name of letters, digits, '-', '_', '+' and '.'; choose another name"
            )
        if not self._fits(name, entry):
            raise ConfigurationError(f"{self.what} {name!r}: expected {self.expected}, found {shortened(repr(entry))}")
        if name in self._entries and not _is_again(self._entries[name], entry):
            raise ConfigurationError(f"{self.what} {name!r} is registered already; choose another name")
        self._entries[name] = entry

    def __getitem__(self, name: str) -> V:
        if name not in self._entries:
            raise ConfigurationError(
                f"unknown {self.what} {name!r}; expected one of {', '.join(self._entries)}, {OR_A_PLUGIN}"
            )
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


def _is_again(before: Any, entry: Any) -> bool:
    """Return whether an entry is the one before: the same, or what a cell of a notebook made when it was run again."""
    names = [(getattr(one, "__module__", None), getattr(one, "__qualname__", None)) for one in (before, entry)]
    return bool(before == entry) or (names[0] == names[1] and names[0][0] == "__main__" and names[0][1] is not None)


def import_entries(package: str, path: Iterable[str]) -> None:
    """Import every module of a package's folder, so that each file registers its entries: the listing is the registry."""
    for module in sorted(found.name for found in iter_modules(path)):
        import_module(f"{package}.{module}")
