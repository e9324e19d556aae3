"""Documents: one canonical form, sealed, and every malformed input refused with an error of ours."""

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miniend.errors import CacheDamagedError, CacheMismatchError
from miniend.storage.documents.seal import FORMAT_VERSION, canonical_json, document_digest, seal, unseal

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=4)
    ),
    max_leaves=20,
)
BODY = {"parent": "ab" * 32, "examples": 7, "steps": [0.1, -0.0, 1e-300], "zzz": {"name": "é\u2028"}}


@given(JSON)
def test_canonical_json_round_trips_and_is_a_fixed_point(value):
    """A value that changes on its way makes its own document look damaged."""
    data = canonical_json(value)
    assert json.loads(data) == value
    assert canonical_json(json.loads(data)) == data


@given(st.dictionaries(st.text(st.characters(codec="utf-8")), JSON, max_size=5))
def test_a_sealed_body_comes_back_with_its_header_and_digest(body):
    """A body that cannot be read again is found out only when the dump resumes."""
    body = {f"b.{key}": value for key, value in body.items()}
    document = unseal(seal("extent", body), "extent", "here")
    assert {key: document[key] for key in body} == body
    assert (document["format"], document["version"], document["kind"]) == ("miniend-cache", FORMAT_VERSION, "extent")


def test_the_order_of_keys_does_not_change_the_bytes():
    """Two workers that build a body in different orders would publish different digests."""
    assert seal("plan", {"a": 1, "b": {"x": 1, "y": 2}}) == seal("plan", {"b": {"y": 2, "x": 1}, "a": 1})


def test_keys_that_are_numbers_are_sorted_as_the_strings_they_become():
    """json sorts 9 before 10 and "10" before "9": written one way and read the other, the document looks damaged."""
    assert unseal(seal("plan", {"steps": {9: "a", 10: "b"}}), "plan", "here")["steps"] == {"9": "a", "10": "b"}


def test_a_stranger_can_check_the_digest_by_cutting_the_last_line_off():
    """SPEC.md promises a check that needs no JSON library."""
    data = seal("plan", BODY)
    head, last = data.removesuffix(b"\n}\n").rsplit(b",\n", 1)
    digest = hashlib.sha256(head + b"\n}\n").hexdigest()
    assert last == f'  "sha256": "{digest}"'.encode()
    assert document_digest(unseal(data, "plan", "here")) == digest


def test_the_sealed_bytes_of_version_2_stay_what_they_are():
    """A change of the canonical form makes every existing cache unreadable; it needs a new format version."""
    assert seal("marker", {"b": [1, 2.5, "é"], "a": {}}) == (
        b'{\n  "a": {},\n  "b": [\n    1,\n    2.5,\n    "\xc3\xa9"\n  ],\n  "format": "miniend-cache",\n'
        b'  "kind": "marker",\n  "version": 2,\n'
        b'  "sha256": "7b9b56830f4ed3ba72fc783911deda4e4736f248b1112d79adbd9ece3f95c6f8"\n}\n'
    )


@pytest.mark.parametrize("flip", [0x01, 0x02, 0x07, 0x20, 0x80])
def test_every_changed_byte_of_a_document_is_refused(flip):
    """0x0a ^ 0x07 turns a newline into another blank that JSON allows: parsed, it would look the same."""
    data = seal("plan", BODY)
    for position in range(len(data)):
        changed = bytearray(data)
        changed[position] ^= flip
        with pytest.raises((CacheDamagedError, CacheMismatchError)):
            unseal(bytes(changed), "plan", "here")


@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_no_input_raises_anything_but_our_errors(data):
    """A traceback tells a user nothing about which file to restore."""
    with pytest.raises(CacheDamagedError, match="here is damaged"):
        unseal(data, "plan", "here")


@pytest.mark.parametrize(
    "data",
    [
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"format": "miniend-cache", "version": 2, "a": ' + b"9" * 10_000 + b"}",
        b'{"format": "miniend-cache", "version": 2, "a": NaN, "sha256": ""}',
        b'{"format": "miniend-cache", "version": 2, "a": "\\ud800"}',
        b'{"format": "miniend-cache", "version": true}',
        b'{"format": "miniend-cache", "version": 2, "deep": ' + b"[" * 500 + b"]" * 500 + b"}",
        b"{}",
        b"",
        b" " * (64 * 2**20 + 1),
    ],
    ids=["lists", "objects", "digits", "nan", "surrogate", "boolean version", "deep", "no members", "empty", "huge"],
)
def test_hostile_documents_are_damaged_documents(data):
    """Recursion, conversion and encoding errors are not MiniEndErrors, the command line would print a traceback."""
    with pytest.raises(CacheDamagedError):
        unseal(data, "plan", "here")


def test_a_newer_version_asks_for_an_upgrade_whatever_else_it_changed():
    """A newer format may seal differently: called damaged, a sound cache would be dumped again."""
    with pytest.raises(CacheMismatchError, match=r"version 3, but this software reads version 2: upgrade"):
        unseal(b'{"format":"miniend-cache","version":3,"seal":"new"}', "plan", "here")


def test_an_older_version_asks_for_a_new_dump_and_not_for_an_upgrade():
    """Version 1 had no predictions; read as version 2, or the other way round, it would decode to other states."""
    sealed = b'{\n  "format": "miniend-cache",\n  "kind": "plan",\n  "version": 1\n}\n'
    with pytest.raises(CacheMismatchError, match=r"version 1, but this software reads version 2: dump the cache again"):
        unseal(sealed, "plan", "here")


def test_a_sound_document_of_another_kind_is_a_mismatch():
    """A marker renamed to plan.json has a right digest."""
    with pytest.raises(CacheMismatchError, match="kind \"plan\", found kind 'marker'"):
        unseal(seal("marker", {}), "plan", "here")


@pytest.mark.parametrize(
    "body", [{"sha256": "x"}, {"version": 2}, {"x": float("nan")}, {"x": float("inf")}, {"x": "\ud800"}]
)
def test_bodies_that_could_not_be_read_again_are_not_sealed(body):
    """A published folder that nobody can open."""
    with pytest.raises(ValueError):
        seal("plan", body)


def test_a_body_nested_too_deeply_is_not_sealed():
    """Reading it could exhaust the stack."""
    value = []
    for _ in range(100):
        value = [value]
    with pytest.raises(ValueError, match="nested"):
        canonical_json(value)
