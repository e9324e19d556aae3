"""Options in YAML, held against the dataclass that takes them."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from miniend.errors import ConfigurationError
from miniend.runtime.typed import read_options, read_value


@dataclass
class Example:
    rate: float
    count: int
    names: tuple[str, ...]
    either: str | tuple[str, ...]
    place: Path | None
    flag: bool
    secret: int


NAMES = ("rate", "count", "names", "either", "place", "flag")


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("rate", 3, 3.0),
        ("rate", "3e-4", 3e-4),  # which YAML takes for a word
        ("count", 7, 7),
        ("names", ["a", "b"], ("a", "b")),
        ("names", "a", ("a",)),
        ("either", "a", "a"),
        ("either", ["a"], ("a",)),
        ("place", "here", Path("here")),
        ("place", None, None),
        ("flag", False, False),
    ],
)
def test_a_value_becomes_what_its_field_declares(name, value, expected):
    found = read_options(Example, {name: value}, "here", NAMES)
    assert found == {name: expected}
    assert type(found[name]) is type(expected)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("rate", "fast", "a number"),
        ("rate", True, "a number"),
        ("count", 1.5, "a whole number"),
        ("count", True, "a whole number"),
        ("names", [1], "a text or a list of such"),
        ("flag", 1, "true or false"),
        ("place", 3, "a path"),
        ("count", None, "a whole number"),
    ],
)
def test_another_type_is_refused_with_what_was_expected(name, value, words):
    with pytest.raises(ConfigurationError, match=f"here: {name} should be {words}, found"):
        read_options(Example, {name: value}, "here", NAMES)


@pytest.mark.parametrize("name", ["cuont", "secret"])
def test_a_name_that_is_unknown_or_not_for_the_file_is_refused_with_those_that_are(name):
    with pytest.raises(ConfigurationError, match=r"rate, count, names, either, place, flag$"):
        read_options(Example, {name: 1}, "here", NAMES)


def test_a_single_value_is_read_like_an_option():
    assert read_value([1, "2e-3"], tuple[float, ...], "rates") == (1.0, 2e-3)
    with pytest.raises(ConfigurationError, match="rates should be a number or a list of such, found 'x'"):
        read_value("x", tuple[float, ...], "rates")
