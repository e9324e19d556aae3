"""Lines and records that are longer than memory have the fields that short ones have."""

import csv

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from miniend.data import json_rows, json_stream, large_json, long_rows, long_text, opening, tables
from miniend.data.long_rows import long_csv_fields
from miniend.data.long_text import LongText, in_memory, parts_of, written
from miniend.data.rows import read_rows
from miniend.data.text import has_line_documents, text_documents
from miniend.errors import CorpusError

FUZZ = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
csv_text = st.lists(st.sampled_from(['"', '""', ",", "\n", "\r\n", "\r", "a", "天", " "]), max_size=14).map("".join)


def small(patched, short=3):
    """Everything of more than so many characters is long."""
    for module in (long_text, tables):
        patched.setattr(module, "SHORT", short)
    patched.setattr(long_text, "PART", 3)
    patched.setattr(opening, "LINE_PART", 2)
    for module, name in ((large_json, "LINE_PART"), (json_stream, "AHEAD"), (json_rows, "WHOLE")):
        patched.setattr(module, name, 4)


@FUZZ
@given(text=csv_text)
def test_a_long_record_has_the_fields_that_csv_gives_it(text):
    """Quotes inside fields, quotes that never close, a lone carriage return: csv has an answer to all of them."""
    lines = text.splitlines(keepends=True) if "\r" not in text else text.split("\n")
    reader = csv.reader(iter(lines))
    try:
        expected = next(reader, [])
    except csv.Error:
        expected = "refused"
    taken = iter(lines)
    try:
        found = [str(field) for field in long_csv_fields(taken)]
    except ValueError:
        found = "refused"
    assert found == (expected or [""])
    if expected != "refused":
        assert len(list(taken)) == len(lines) - reader.line_num


def outcome(path):
    try:
        if path.suffix == ".txt":
            return ["".join(parts_of(text)) for text in text_documents(path, has_line_documents(path))]
        return [(dict(in_memory(row)), row.place) for row in read_rows(path)]
    except CorpusError as error:
        return type(error)


pieces = [
    "a",
    "b",
    "\t",
    ",",
    '"',
    "\n",
    "\r\n",
    "\r",
    " ",
    "\n\n",
    "天",
    '{"a": ',
    '"b"',
    "}",
    "[",
    "]",
    "\\u0041",
    "\ufeff",
]


@pytest.mark.parametrize("ending", ["txt", "jsonl", "csv", "tsv"])
def test_any_file_is_read_alike_whatever_counts_as_long(tmp_path, ending):
    """A cache must not depend on what is kept in a temporary file."""
    path = tmp_path / f"c.{ending}"

    @FUZZ
    @given(text=st.lists(st.sampled_from(pieces), min_size=1, max_size=30).map("".join))
    def check(text):
        path.write_bytes(({"csv": "a,b\n", "tsv": "a\tb\n"}.get(ending, "") + text).encode())
        expected = outcome(path)
        with pytest.MonkeyPatch.context() as patched:
            small(patched)
            assert outcome(path) == expected

    check()


ITEMS = st.sampled_from(
    ['{"a": "long 天"}', '{"a": 1, "b": [2]}', '{"a": [{"b": 3}]}', "{}", "7", '"b"', "[]", "null", "{"]
)
LISTS = st.lists(ITEMS, max_size=3).map(lambda items: "[" + " ,\n".join(items) + "]")
OBJECTS = st.lists(st.tuples(st.sampled_from("ab"), ITEMS | LISTS), max_size=3).map(
    lambda members: "{" + ",\n".join(f'"{name}" : {value}' for name, value in members) + "}"
)


@FUZZ
@given(text=ITEMS | LISTS | OBJECTS, after=st.sampled_from(["", "\n", " 1"]))
def test_a_large_json_file_holds_the_rows_of_a_small_one(tmp_path, text, after):
    """It is read one element after another, and which member holds the rows is known only at its end."""
    path = tmp_path / "c.json"
    path.write_text(text + after)
    expected = outcome(path)
    with pytest.MonkeyPatch.context() as patched:
        small(patched)
        assert outcome(path) == expected


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'[{"a": 1},\n{"a": 2},\n{"a" 3}]', "line 3 cannot be read"),
        (b'{"a": [{"x": 1}],\n"b": [{"x": 1}]}', "one list of objects .* found 'a', 'b'"),
        (b'[{"a": 1},\n{"a": 2},{"a": "\xe5\n\n"}]', r"UTF-8 text in .*c\.json, line 2"),
        (b'[{"a": 1},\n\n{"a": 2},{"a": "\n\xff"}]', r"UTF-8 text in .*c\.json, line 4"),
        (b'[{"a": 1},\n{"a": 2},\n{"a": "\xff\xff\xff"}]', r"UTF-8 text in .*c\.json, line 3"),
        (b'[{"a": 1},\n 7]', "found 7 in .*, element 2"),
    ],
)
@pytest.mark.parametrize("ahead", [4, 2**20])
def test_what_is_wrong_with_a_large_json_file_has_its_place(tmp_path, monkeypatch, content, said, ahead):
    """However far the reader is ahead."""
    small(monkeypatch)
    monkeypatch.setattr(json_stream, "AHEAD", ahead)
    (tmp_path / "c.json").write_bytes(content)
    with pytest.raises(CorpusError, match=said):
        list(read_rows(tmp_path / "c.json"))


def test_long_fields_are_kept_in_temporary_files(tmp_path, monkeypatch):
    """Otherwise the tests above would compare a reader with itself. The text of the last one is long, none of its lines is."""
    small(monkeypatch, 8)
    for ending, content, text in (
        ("csv", 'id,text\n7,"long, ""text""\n"\n8,x\n', 'long, "text"\n'),
        ("tsv", "id\ttext\n7\tlong text\n", "long text"),
        ("jsonl", '{"id": "7", "text": "long text"}\n{"text": 1}\n', "long text"),
        ("csv", 'id,text\n7,"a\nb\nlong\ntext"\n8,x\n', "a\nb\nlong\ntext"),
    ):
        path = tmp_path / f"c.{ending}"
        path.write_text(content)
        row = next(iter(read_rows(path)))
        assert row["id"] == "7"
        assert isinstance(row["text"], LongText)
        assert str(row["text"]) == text


def test_a_long_line_of_tabs_is_refused(tmp_path, monkeypatch):
    """Its fields would not fit into memory."""
    small(monkeypatch)
    monkeypatch.setattr(long_rows, "MOST_FIELDS", 5)
    for ending, separator in (("csv", ","), ("tsv", "\t")):
        (tmp_path / f"c.{ending}").write_text("a\n" + separator * 9 + "\n")
        with pytest.raises(
            CorpusError, match=rf"line 2 cannot be read as {ending}: a long line has more than 5 fields"
        ):
            list(read_rows(tmp_path / f"c.{ending}"))


def test_a_header_that_is_too_long_is_refused(tmp_path, monkeypatch):
    """It is a line of text and not of names."""
    small(monkeypatch)
    (tmp_path / "c.csv").write_text("long name,b\n1,2\n")
    with pytest.raises(CorpusError, match=r"header of .*c\.csv has a name that is too long"):
        list(read_rows(tmp_path / "c.csv"))


def test_a_full_disk_is_named(monkeypatch):
    """The folder of temporary files is often smaller than the corpus."""
    monkeypatch.setattr(long_text, "SHORT", 3)
    full = open("/dev/full", "w+b", buffering=0)  # noqa: SIM115
    monkeypatch.setattr(long_text.tempfile, "TemporaryFile", lambda: full)
    with pytest.raises(CorpusError, match=r"cannot be kept in .*: No space left on device; set TMPDIR"):
        written(["text", "text"])
