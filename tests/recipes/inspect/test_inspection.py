"""`miniend inspect --json`: programs read it, so its members and their forms stay as they are."""

import json
from pathlib import Path

import pytest

from miniend.recipes.inspect.inspection import inspect_cache
from miniend.storage.documents.plan import Plan
from support.documents import GOLDEN, golden

PRINTED = Path(__file__).parent / "golden-inspection.json"
"""What the golden cache's inspection was before its facts had classes."""


def test_the_json_of_the_golden_cache_is_what_it_always_was():
    """Members, their order and their values; measured numbers are sums of what the documents hold."""
    found = json.loads(json.dumps(inspect_cache(GOLDEN).as_json()))
    expected = json.loads(PRINTED.read_text())
    assert shape(found) == shape(expected)
    wanted = {path: pytest.approx(leaf) if isinstance(leaf, float) else leaf for path, leaf in flat(expected).items()}
    assert flat(found) == wanted


def test_what_was_asked_for_is_told_as_the_plan_has_it():
    """A script may compare the two."""
    plan, facts = golden(Plan), inspect_cache(GOLDEN).as_json()
    assert (facts["objective"], facts["corpus"], facts["codec"]) == (plan["objective"], plan["corpus"], plan["codec"])
    assert facts["logits"] == plan["signals"]["logits"]
    assert {name: facts["teacher"][name] for name in plan["teacher"]["facts"]} == plan["teacher"]["facts"]


def shape(value):
    """The names in their order, and the types of the values."""
    if isinstance(value, dict):
        return [(name, shape(inner)) for name, inner in value.items()]
    if isinstance(value, list):
        return [shape(inner) for inner in value]
    return type(value).__name__


def flat(value, path=""):
    """The leaves by path."""
    if not isinstance(value, dict | list):
        return {path: value}
    items = value.items() if isinstance(value, dict) else enumerate(value)
    return {name: leaf for key, inner in items for name, leaf in flat(inner, f"{path}.{key}").items()}
