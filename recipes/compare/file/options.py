"""Options of a command as they stand in a YAML file, held against the dataclass that takes them."""

import types
from collections.abc import Collection, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from ....errors import ConfigurationError


def read_options(kind: type, found: Mapping[str, Any], where: str, without: Collection[str]) -> dict[str, Any]:
    """The options of `kind`, a configuration dataclass, with values of the types that it declares.

    `without` are fields that the file may not set. A list becomes a tuple, a single value a tuple of one where several may
    stand; 1e-3, which YAML takes for a word, becomes a number. Raises ConfigurationError for other names and types.
    """
    hints = get_type_hints(kind)
    known = [field.name for field in fields(kind) if field.name not in without]
    options = {}
    for name, value in found.items():
        if name not in known:
            raise ConfigurationError(f"{where}: unknown option {name!r}; expected one of {', '.join(known)}")
        try:
            options[name] = _fitted(value, hints[name])
        except ValueError:
            raise ConfigurationError(f"{where}: {name} should be {_words(hints[name])}, found {value!r}") from None
    return options


def read_value(value: Any, hint: Any, where: str) -> Any:
    """One value of a declared type. Raises ConfigurationError for another."""
    try:
        return _fitted(value, hint)
    except ValueError:
        raise ConfigurationError(f"{where} should be {_words(hint)}, found {value!r}") from None


def _fitted(value: Any, hint: Any) -> Any:
    """`value` as the hint has it. Raises ValueError where it is something else."""
    if isinstance(hint, types.UnionType):
        return _first_fitting(value, get_args(hint))
    if get_origin(hint) is tuple:
        return tuple(_fitted(one, get_args(hint)[0]) for one in (value if isinstance(value, list) else [value]))
    if hint is float and isinstance(value, str | int) and not isinstance(value, bool):
        return float(value)
    if hint is Path and isinstance(value, str):
        return Path(value)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise ValueError
    return value


def _first_fitting(value: Any, hints: tuple[Any, ...]) -> Any:
    for hint in hints:
        try:
            return _fitted(value, hint)
        except ValueError:
            continue
    raise ValueError


def _words(hint: Any) -> str:
    names = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", Path: "a path"}
    if isinstance(hint, types.UnionType):
        return " or ".join(_words(one) for one in get_args(hint) if one is not types.NoneType)
    if get_origin(hint) is tuple:
        return f"{_words(get_args(hint)[0])} or a list of such"
    return names.get(hint, str(hint))
