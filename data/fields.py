"""The texts of a row by field: a column, or a place inside one, such as `translation.de`."""

from collections.abc import Mapping
from typing import Any

from ..errors import CorpusError, shortened
from .long_text import LongText, Text, is_blank_text, parts_of, written
from .row import OTHER_FIELDS, is_missing, names_in, with_whole_characters


def texts_of(row: Mapping[str, Any], field: str, place: str) -> list[Text]:
    """Return the texts at a field, in order: one of a text, several of a list, none of null or NaN.

    A column of just that name comes first; else dots lead into objects, and of a list into each of its elements. Raises
    CorpusError for a field that is missing and for a value that is not text.
    """
    found = _flat([row[field]]) if field in row else _inside(row, field, place)
    texts = [value for value in found if not is_missing(value)]
    for value in texts:
        if not isinstance(value, str | LongText):
            raise CorpusError(
                f"expected text in field {field!r} of {place}, found {shortened(repr(value), 40)} of type "
                f"{type(value).__name__}: {OTHER_FIELDS}"
            )
    return [with_whole_characters(text) for text in texts]


def joined(texts: list[Text]) -> Text:
    """Return a list of sentences as one text."""
    if len(texts) == 1:
        return texts[0]
    return written(part for number, text in enumerate(texts) for part in (" " if number else "", *parts_of(text)))


def first_filled(texts: list[Text]) -> Text:
    """Return the first text of a list of references that is not blank; an empty one if there is none."""
    return next((text for text in texts if not is_blank_text(text)), "")


def _inside(row: Mapping[str, Any], field: str, place: str) -> list[Any]:
    found: list[Any] = [row]
    for part in field.split("."):
        found = [_member(value, part, field, row, place) for value in found if not is_missing(value)]
        found = _flat(found)
    return found


def _member(value: Any, part: str, field: str, row: Mapping[str, Any], place: str) -> Any:
    if not isinstance(value, Mapping) or part not in value:
        there = names_in(value) if isinstance(value, Mapping) else f"a value of type {type(value).__name__}"
        inside = "its fields are" if value is row else f"at {part!r} there is"
        raise CorpusError(f"no field {field!r} in {place}; {inside} {there}: {OTHER_FIELDS}")
    return value[part]


def _flat(values: list[Any]) -> list[Any]:
    """Return the values, with the elements of lists, and of lists in them, in their place."""
    flat: list[Any] = []
    for value in values:
        if isinstance(value, list):  # a tuple is an entry of a map column, whose key is not text
            flat += _flat(value)
        else:
            flat.append(value)
    return flat
