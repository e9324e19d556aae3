"""Read options of a command from a YAML file, and check them against the dataclass that declares them."""

import types
from collections.abc import Collection, Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from ....errors import ConfigurationError, shortened
from ....runtime.options import ConfigT, Option, options_of


def read_options(kind: type, given: Mapping[str, Any], where: str, known: Collection[str]) -> dict[str, Any]:
    """Return the options of `kind`, a configuration dataclass, with values of the types and choices that it declares.

    `known` names the fields that the file can set. A list becomes a tuple, and so does a single value of an option that takes
    several. YAML reads 1e-3 as a word; it becomes a number. Raises ConfigurationError for other names, types and choices.
    """
    hints, declared = get_type_hints(kind), options_of(kind)
    options = {}
    for name, value in given.items():
        if name not in known:
            raise ConfigurationError(f"{where}: unknown option {shown(name)}; expected one of {', '.join(known)}")
        try:
            options[name] = _fitted(value, hints[name])
        except ValueError:
            help = f" ({declared[name].help})" if name in declared else ""
            raise ConfigurationError(
                f"{where}: {name} should be {_words(hints[name])}, found {shown(value)}{help}"
            ) from None
        _require_choice(declared.get(name), options[name], f"{where}: {name}")
    return options


def _require_choice(declared: Option | None, value: Any, what: str) -> None:
    choices = declared.known_choices() if declared else None
    for one in value if isinstance(value, tuple) else (value,):
        if declared and choices is not None and one is not None and one not in choices:
            raise ConfigurationError(f"{what} should be {declared.listed()}, found {shown(one)}")


def configured(kind: type[ConfigT], options: Mapping[str, Any], where: str) -> ConfigT:
    """Return a configuration with these options. Raises ConfigurationError, with the place in the file, if it cannot work."""
    missing = [one.name for one in fields(kind) if one.default is MISSING and one.name not in options]  # type: ignore[arg-type]
    if missing:
        raise ConfigurationError(f"{where}: expected {' and '.join(missing)}, found none; add that")
    try:
        return kind(**options)
    except ConfigurationError as error:
        raise ConfigurationError(f"{where}: {error}") from None


def read_value(value: Any, hint: Any, where: str) -> Any:
    """Return a value as the declared type. Raises ConfigurationError if it is another type."""
    try:
        return _fitted(value, hint)
    except ValueError:
        raise ConfigurationError(f"{where} should be {_words(hint)}, found {shown(value)}") from None


def shown(value: Any) -> str:
    """Return a value of the file for a message."""
    return shortened(repr(value))


def _fitted(value: Any, hint: Any) -> Any:
    """Return the value as the type of the hint. Raises ValueError if it does not fit."""
    if isinstance(hint, types.UnionType):
        return _first_fitting(value, get_args(hint))
    if get_origin(hint) is tuple:
        return tuple(_fitted(one, get_args(hint)[0]) for one in (value if isinstance(value, list) else [value]))
    if hint is float and isinstance(value, str | int) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            raise ValueError from None
    if hint is Path and isinstance(value, str) and value:
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
