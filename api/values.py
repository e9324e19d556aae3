"""Values of a Python call as the types that the options declare: a list for a tuple, a path for a text, a NumPy number."""

import operator
import os
import types
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Union, get_args, get_origin

from ..errors import ConfigurationError, shortened

NO_TYPES = (types.UnionType, Union)


def fitted(name: str, value: Any, hint: Any, also: str = "") -> Any:
    """Return a value as the type of the hint. Raises ConfigurationError, with the keyword's name, if it does not fit.

    `also` says what else the keyword takes.
    """
    try:
        return _fitted(value, hint)
    except (ValueError, TypeError, OverflowError):
        raise ConfigurationError(f"{name}: expected {_words(hint)}{also}, found {shortened(repr(value))}") from None


def _fitted(value: Any, hint: Any) -> Any:
    if get_origin(hint) in NO_TYPES:
        return _first_fitting(value, get_args(hint))
    if get_origin(hint) is tuple:
        several = isinstance(value, Iterable) and not isinstance(value, str | bytes | os.PathLike)
        return tuple(_fitted(one, get_args(hint)[0]) for one in (value if several else [value]))
    if hint is types.NoneType:
        return _only(value, value is None)
    if hint in (str, Path):
        text = os.fspath(value)
        return hint(_only(text, isinstance(text, str) and bool(text)))
    if hint is bool:
        return bool(_only(value, isinstance(value, bool) or type(value).__name__ == "bool"))  # NumPy's too
    _only(value, not isinstance(value, bool | str | bytes))
    if hint is int:
        return int(value) if isinstance(value, float) and value.is_integer() else operator.index(value)
    return float(value)


def _first_fitting(value: Any, hints: tuple[Any, ...]) -> Any:
    for hint in hints:
        try:
            return _fitted(value, hint)
        except (ValueError, TypeError):
            continue
    raise ValueError


def _only(value: Any, fits: bool) -> Any:
    if not fits:
        raise ValueError
    return value


def _words(hint: Any) -> str:
    names = {bool: "True or False", int: "a whole number", float: "a number", str: "a text", Path: "a path"}
    if get_origin(hint) in NO_TYPES:
        return " or ".join(dict.fromkeys(_words(one) for one in get_args(hint)))
    if get_origin(hint) is tuple:
        return f"{_words(get_args(hint)[0])} or several of them"
    return "None" if hint is types.NoneType else names[hint]
