"""Typed documents: what fits is read and written back as it was, what does not is named, all of it at once."""

import json
from copy import deepcopy
from dataclasses import FrozenInstanceError, replace
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miniend.errors import CacheDamagedError
from miniend.storage.documents.calibration import Calibration
from miniend.storage.documents.extent import Extent
from miniend.storage.documents.marker import Marker, SegmentsMarker, ShardMarker
from miniend.storage.documents.parse import parse
from miniend.storage.documents.plan import Plan
from support.documents import FOLDERS, GOLDEN, LISTED, changed, documents, golden, golden_document

EACH = pytest.mark.parametrize("kind", FOLDERS, ids=lambda kind: kind.__name__)
OPAQUE = ("teacher.config", "sites.*.alpha", "sites.*.relative_entropy", "sites.*.published_entropy")
"""Objects that storage keeps as they are: nothing inside is a member that it knows."""
UNREAD = {"sha256", *OPAQUE[1:], "sites.*.inner", "sites.*.heads"}
MAY_BE_MISSING = {
    *("teacher.revision", "signals.relation_step", "signals.relation_rank", "signals.logits"),
    *("environment.device", "environment.cpu", "environment.versions", "tokenizer.digest"),
    *("corpus.parts.*.files", "fidelity.*.*.first_bin", "fidelity.*.*.bins"),
    *("counts", "teacher.end_cross_entropy", "hidden.*.predicted_from"),
    *(
        "objective.target_length",
        "teacher",
        "teacher_cross_entropy",
    ),  # an encoder's documents lack them; see cache/contents.py
}
ANY_NAMES = ("codes", "fidelity", "fidelity.*", "tokens", "versions")
"""Objects whose members may have any names, so that none of them can be missing."""
GROUPS = {"objective.kind": "objective.", "corpus.parts.0.kind": "corpus.parts.0."}
"""Members that say which others there are."""
MISSING = object()
NESTED = ([], {}, [[]], {"x": {}}, [1, [2]])


def paths(value, path=()):
    """The path of every member and element, without what is opaque."""
    if path:
        yield path
    if pattern(path) in OPAQUE:
        return
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from paths(inner, (*path, key))


def pattern(path):
    """`sites.*.codes` for the path of the codes of any site; the two levels below `fidelity` have any names."""
    return ".".join(
        "*" if isinstance(key, int) or "fidelity" in path[max(0, n - 2) : n] else key for n, key in enumerate(path)
    )


def at(members, path):
    for key in path:
        members = members[key]
    return members


def wrong(path, value):
    """Values that the member at `path`, whose sound value is given, cannot have."""
    others = [True, "no such text!", 1.5, -1, *NESTED]
    if value is None or pattern(path) in MAY_BE_MISSING:
        return [{"x": 1} if not isinstance(value, dict) else [], [[]]] if not isinstance(value, list) else [{}, 1]
    found = [one for one in others if not fits(one, value)] + [None]
    if type(value) is int:
        found += [-1] + ([2**70] if path != ("seed",) else [])
    if type(value) is float:
        found += [1e305, -1e305]
    named = isinstance(path[-1], str) and not pattern(path[:-1]).endswith(ANY_NAMES)
    return [*found, MISSING] if named else found


def fits(one, value):
    """Whether a value has the JSON type of another."""
    if isinstance(value, float):
        return type(one) in (int, float)
    return type(one) is type(value)


def damaged(members, path, value):
    """A copy with the member at `path` replaced, or removed."""
    copy = deepcopy(members)
    holder = at(copy, path[:-1])
    if value is MISSING:
        del holder[path[-1]]
    else:
        holder[path[-1]] = value
    return copy


def misfits(kind, members):
    with pytest.raises(CacheDamagedError) as caught:
        parse(kind, members, "here")
    assert str(caught.value).startswith("here is damaged: its member ")
    return str(caught.value)


def breakable(kind):
    """The paths of all members that a parser can find fault with."""
    return [path for path in paths(golden(kind)) if pattern(path) not in UNREAD]


@EACH
def test_every_member_that_is_missing_or_of_another_form_is_named(kind):
    """What passes is used without another look, in the middle of a training."""
    members = golden(kind)
    tried = 0
    for path in breakable(kind):
        for value in wrong(path, at(members, path)):
            text = misfits(kind, damaged(members, path, value))
            assert f"member {'.'.join(map(str, path))} should be " in text
            assert ("found nothing" in text) == (value is MISSING)
            assert text.count("its member ") == 1
            tried += 1
    assert tried > 5 * len(members)


@EACH
@settings(max_examples=60)
@given(data=st.data())
def test_several_broken_members_are_all_named_in_one_error(kind, data):
    """Who mends a writer wants to see all that it did wrong."""
    members, found = golden(kind), breakable(kind)
    chosen = data.draw(st.lists(st.sampled_from(found), min_size=2, max_size=8, unique=True))
    alone = [path for path in chosen if not any(depend(other, path) for other in chosen)]
    broken = members
    for path in alone:
        if isinstance(path[-1], str):
            broken = damaged(broken, path, data.draw(st.sampled_from(wrong(path, at(members, path)))))
        else:
            broken = damaged(broken, path, [[]])
    text = misfits(kind, broken)
    assert all(f"its member {'.'.join(map(str, path))} should be " in text for path in alone)
    assert text.count("its member ") == len(alone)


def depend(one, other):
    """Whether a fault at the path `one` hides those at `other`."""
    text, below = ".".join(map(str, one)), ".".join(map(str, other))
    return one != other and (other[: len(one)] == one or below.startswith(GROUPS.get(text, "no such path")))


def test_a_long_list_of_misfits_is_counted():
    """A message of a million lines helps nobody, and a list of them would fill the memory."""
    members = golden(Plan)
    members["tokenizer"]["sentinel_ids"] = ["x"] * 200_000
    text = misfits(Plan, members)
    assert text.count("its member tokenizer.sentinel_ids.") == 10
    assert "; 199,990 more such members. Restore the folder" in text
    assert len(text) < 2000


@EACH
def test_a_golden_document_is_written_as_it_was(kind):
    """The bytes of a cache are a promise: order, names and numbers stay."""
    members = golden(kind)
    document = parse(kind, members, "here")
    assert document.digest == members.pop("sha256")
    assert json.dumps(document.body()) == json.dumps(members)


@EACH
@settings(max_examples=50)
@given(data=st.data())
def test_what_was_written_is_read_back_the_same(kind, data):
    """Any value that the annotations allow, through JSON text."""
    document = data.draw(documents(kind))
    body = document.body()
    assert list(body) == sorted(body)
    assert not set(LISTED[:3]) & set(body)
    assert parse(kind, json.loads(json.dumps(body)), "here") == document


@EACH
def test_members_that_are_not_named_are_passed_over(kind):
    """A later writer of this version may know more."""
    more = changed(golden(kind), news={"x": 1}, another=None)
    assert parse(kind, more, "here") == golden_document(kind)


def test_a_site_keeps_what_its_kind_of_signal_put_there():
    """Storage knows no kind of signal, and so nothing of its members."""
    members = golden(Calibration)
    [site, *_] = parse(Calibration, changed(members, "sites", 0, novelty=[1, {"a": 2}]), "here").sites
    assert site.others["novelty"] == [1, {"a": 2}]
    assert set(site.others) == {"alpha", "heads", "inner", "novelty", "published_entropy", "relative_entropy"}
    assert site.body() == changed(members, "sites", 0, novelty=[1, {"a": 2}])["sites"][0]


@pytest.mark.parametrize("axis", ["input", "target", "pixel", "layer_2"])
def test_tokens_may_lie_on_any_axis_that_has_a_plain_name(axis):
    """An encoder alone has one axis, another family may name its own."""
    members = changed(golden(ShardMarker), tokens={axis: 3})
    assert parse(ShardMarker, members, "here").tokens == {axis: 3}
    place = next(iter(golden(Calibration)["sites"][0]["codes"]))
    assert parse(Calibration, changed(golden(Calibration), "sites", 0, "codes", place, axis=axis), "here")
    for bad in ("", "Input", "in put", "../x", "row", 3):
        text = misfits(Calibration, changed(golden(Calibration), "sites", 0, "codes", place, axis=bad))
        assert f"member sites.0.codes.{place}.axis should be the name of an axis" in text


def test_a_task_and_a_corpus_have_the_members_of_their_kind():
    """Pairs have no spans, and a hub dataset has a commit that may be null and is written all the same."""
    pairs = changed(
        golden(Plan), objective={"kind": "pairs", "input_length": 9, "target_length": 4, "spans": "not read"}
    )
    plan = parse(Plan, pairs, "here")
    assert plan.task.pairs
    assert plan.task.corruption is None
    assert plan.task.body() == {"input_length": 9, "kind": "pairs", "target_length": 4}
    hub = {"kind": "hf", "weight": 1, "name": "a/b", "config": None, "split": "train", "revision": None}
    [part] = parse(Plan, changed(golden(Plan), "corpus", parts=[hub]), "here").corpus.parts
    assert part.hub is not None
    assert part.body() == hub
    assert "corpus.parts.0.split" in misfits(Plan, changed(golden(Plan), "corpus", parts=[hub | {"split": 1}]))


def test_a_document_is_what_was_read_and_cannot_be_changed():
    """It is handed through the whole dump; its digest is no part of what it says."""
    plan = golden_document(Plan)
    with pytest.raises(FrozenInstanceError):
        plan.seed = 1
    assert replace(plan, digest="") == plan != replace(plan, seed=1)
    assert "sha256" not in plan.body()


def test_any_marker_is_read_as_a_marker():
    """Sizes are summed over segments and shards alike."""
    markers = [parse(Marker, golden(kind), "here") for kind in (SegmentsMarker, ShardMarker)]
    assert [marker.count for marker in markers] == [marker.stop - marker.start for marker in markers]


@pytest.mark.parametrize("value", [None, [], "x", 3, True])
def test_a_document_that_is_no_object_is_damage(value):
    with pytest.raises(CacheDamagedError, match="here is damaged: it should be an object, found"):
        parse(Extent, value, "here")


def test_members_that_need_no_reader_are_still_there():
    """The table above names real members, or it would test nothing."""
    every = {pattern(path) for kind in FOLDERS for path in paths(golden(kind))}
    assert every >= UNREAD
    assert every >= MAY_BE_MISSING
    assert GOLDEN.is_dir()
    assert not any(depend(*pair) for pair in combinations([("seed",), ("codec",)], 2))
