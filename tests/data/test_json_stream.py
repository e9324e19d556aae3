"""JSON that is taken apart means what json.loads makes of it."""

import json
import random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from miniend.data import json_stream, long_text
from miniend.data.json_stream import JsonStream
from miniend.data.long_text import LongText
from miniend.data.row import with_whole_characters

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12)
SPELLED = st.lists(
    st.sampled_from(
        ["\\u", "d83d", "\\ude00", "\\", "\\\\", '\\"', "\\n", "\\ud83d", "a", "天", "/", "\\x", "\x01", "0041"]
    ),
    max_size=8,
).map(lambda parts: '"' + "".join(parts) + '"')
VALUES = st.recursive(
    SCALARS.map(json.dumps) | SPELLED | st.sampled_from(["-Infinity", "1e400", "01", "1.", "tru", "nul", "-"]),
    lambda inner: (
        st.lists(inner, max_size=4).map(lambda parts: "[" + " ,\n".join(parts) + "]")
        | st.lists(st.tuples(SPELLED | st.just('"a"'), inner), max_size=4).map(
            lambda members: "{" + ",".join(f"{name}\t: {value}" for name, value in members) + "}"
        )
    ),
    max_leaves=10,
)


def plain(value):
    """LongTexts as texts, and NaN as something that equals itself."""
    if isinstance(value, LongText):
        return str(value)
    if isinstance(value, dict):
        return {plain(name): plain(part) for name, part in value.items()}
    if isinstance(value, list):
        return [plain(part) for part in value]
    return "NaN" if value != value else value


def outcome(read):
    try:
        return plain(read())
    except ValueError:
        return "refused"


def split(text, seed):
    draw = random.Random(seed)
    cuts = sorted(draw.choices(range(len(text) + 1), k=draw.choice((0, 1, 5, len(text)))))
    return [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]


@given(
    text=VALUES,
    after=st.sampled_from(["", " \n", " x", ","]),
    seed=st.integers(0, 99),
    short=st.sampled_from([0, 3, 9]),
)
@example(text='"\\ud83d\\ude00"', after="", seed=1, short=0)
@example(text='"\\\\ud83d"', after="", seed=1, short=0)
@example(text='{"a": 1, "a": 2}', after="", seed=1, short=0)
@example(text='{"\\ud83d": ["\\ude00"]}', after="", seed=1, short=0)
def test_any_json_in_any_parts_means_the_same(text, after, seed, short):
    """Escapes, surrogates, equal names, nesting, numbers; and what json refuses is refused."""
    text += after
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(long_text, "SHORT", short)
        expected = outcome(lambda: with_whole_characters(json.loads(text)))
        assert outcome(JsonStream(split(text, seed)).document) == expected
        rows = f"[{text}, 1, {text}]"
        expected = outcome(lambda: with_whole_characters(json.loads(rows)))
        for ahead in (short, json_stream.AHEAD):
            patched.setattr(json_stream, "AHEAD", ahead)
            assert outcome(lambda: list(JsonStream(split(rows, seed)).elements())) == expected


def test_only_wanted_members_are_kept():
    """A document beside a large embedding would cost its memory; a missing name must still be told from an unwanted one."""
    value = {"a": {"b": ["x"], "c": 1}, "ab": 2, "te": 3, "text": "words"}
    found = JsonStream([json.dumps(value)], ["a.b", "text"]).document()
    assert found == {**value, "ab": None, "te": None}


def test_what_is_kept_has_a_bound(monkeypatch):
    """A million sentences in one line are not one long text."""
    monkeypatch.setattr(json_stream, "MOST_KEPT", 30_000)
    with pytest.raises(ValueError, match="more than 30,000 characters besides its long texts"):
        JsonStream([json.dumps(["sentence"] * 1000)]).document()
    with pytest.raises(ValueError, match="nested more than 100 deep"):
        JsonStream(["[" * 200]).document()
    assert JsonStream([json.dumps(["sentence"] * 1000)], ()).value(keep=False) == []
