"""Values of options that a YAML file or a Python caller gives, held against the dataclass that declares the options."""

import types
from collections.abc import Collection, Mapping
from dataclasses import MISSING, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from ..errors import ConfigurationError, shortened
from .options import ConfigT, Option, options_of
from .there import is_utf8


def read_options(kind: type, given: Mapping[str, Any], where: str, known: Collection[str]) -> dict[str, Any]:
    """Return the options of `kind`, a configuration dataclass, with values of the types and choices that it declares.

    `known` names the options that a part of a file can set, and `where` says which part that is. Raises ConfigurationError, with
    `where`, for other names, types and choices.
    """
    try:
        options = typed_options(kind, given, known)
    except ConfigurationError as error:
        raise ConfigurationError(f"{where}: {error}") from None
    declared = options_of(kind)
    for name, value in options.items():
        _require_choice(declared.get(name), value, f"{where}: {name}")
    return options


def typed_options(
    kind: type, given: Mapping[str, Any], known: Collection[str], several: bool = False
) -> dict[str, Any]:
    """Return the options of `kind` with values of the types that it declares.

    A list becomes a tuple, and so does a single value of an option that takes several. YAML reads 1e-3 as a word; it becomes a
    number. With `several`, options of which each configuration has one value can have more, and become tuples too. Raises
    ConfigurationError for other names and types.
    """
    hints, declared, options = get_type_hints(kind), options_of(kind), {}
    for name, value in given.items():
        if name not in known:
            raise ConfigurationError(f"unknown option {shown(name)}; {nearest(name, known)}")
        option, hint = declared.get(name), hints[name]
        if several and option is not None and option.several:
            hint = tuple.__class_getitem__((hint, ...))
        try:
            options[name] = _fitted(value, hint)
        except ValueError:
            help = f" ({option.help})" if option else ""
            raise ConfigurationError(f"{name} should be {_words(hint)}, found {shown(value)}{help}") from None
    return options


def nearest(name: object, known: Collection[str]) -> str:
    """Return what to write instead of an unknown name, which YAML may have read as a number: the most similar one, and all."""
    plain = str(name).strip("-").replace("-", "_")
    near = [plain] if plain in known else get_close_matches(plain, known, n=1)
    listed = f"xpected one of {', '.join(known)}"
    return f"did you mean {near[0]}? E{listed}" if near else f"e{listed}"


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
        return tuple(_fitted(one, get_args(hint)[0]) for one in (value if isinstance(value, list | tuple) else [value]))
    if hint is float and isinstance(value, str | int) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            raise ValueError from None
    if hint is Path and isinstance(value, str) and value and "\0" not in value and is_utf8(value):
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
