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


def test_the_worst_relation_and_the_errors_of_each_site_are_those_of_the_shards():
    """The target is for the worst relation at any number of heads; a mean, or one number of heads, would hide it."""
    facts, markers = inspect_cache(GOLDEN), [document(shard) for shard in sorted((GOLDEN / "shards").iterdir())]
    lines = list(facts.lines())
    for site in facts.relations:
        total = {}
        for marker in markers:
            for name, part in marker["fidelity"].get(site, {}).items():
                before = total.get(name, (0.0, 0))
                total[name] = (before[0] + part["total"], before[1] + part["count"])
        of = {name: value / count for name, (value, count) in total.items() if "energy" not in name}
        kls = {name: kl for name, kl in of.items() if "error" not in name}
        worst = facts.fidelity.relation_kl_worst[site]
        name = worst.kind if worst.heads == 32 else f"{worst.kind} at {worst.heads}"
        assert max(kls, key=kls.__getitem__) == name
        assert worst.kl == pytest.approx(kls[name])
        assert len(kls) == len(facts.fidelity.relation_kl[site]) * 3, "at 32, 16 and 8 heads"
        shown = f"    worst relation: {worst.kind} {worst.kl:.1e} at {worst.heads} relation heads (target 3e-03)"
        errors = {
            tensor: total[f"{tensor}_squared_error"][0] / total[f"{tensor}_energy"][0]
            for tensor in ("query", "key", "value")
        }
        assert facts.fidelity.tensor_error[site] == pytest.approx(errors)
        told = ", ".join(f"{tensor} {error:.1e}" for tensor, error in errors.items())
        place = lines.index(shown)
        assert lines[place + 1] == f"    relative squared errors: {told}"


def document(folder):
    [path] = folder.glob("*.json")
    return json.loads(path.read_text())


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
