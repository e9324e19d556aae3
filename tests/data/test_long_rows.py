"""Lines and records that are longer than memory have the fields that short ones have."""

import csv

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from miniend.data import long_rows, long_text, opening, tables
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
    patched.setattr(opening, "LINE_PART", 2)


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


def test_long_fields_are_kept_in_temporary_files(tmp_path, monkeypatch):
    """Otherwise the tests above would compare a reader with itself."""
    small(monkeypatch)
    for ending, content in {
        "csv": 'id,text\n7,"long, ""text""\n"\n8,x\n',
        "tsv": "id\ttext\n7\tlong text\n",
        "jsonl": '{"id": "7", "text": "long text"}\n{"text": 1}\n',
    }.items():
        path = tmp_path / f"c.{ending}"
        monkeypatch.setattr(long_text, "SHORT", 4)
        path.write_text(content)
        row = next(iter(read_rows(path)))
        assert row["id"] == "7"
        assert isinstance(row["text"], LongText)
        assert str(row["text"]).startswith("long")


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
