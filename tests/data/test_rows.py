"""Files of every kind: read right, or refused in one line that names file and place, whatever bytes they hold."""

import gzip
import json

import pyarrow
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from miniend.data import arrow_rows
from miniend.data.fields import texts_of
from miniend.data.rows import COLUMNAR, TABLES, ending_of, read_rows
from miniend.data.text import has_line_documents, text_documents
from miniend.errors import CorpusError

ROWS = [{"text": "one", "label": "1"}, {"text": "drei Größen", "label": "3"}]
TEXTS = {
    ".jsonl": "".join(json.dumps(row) + "\n" for row in ROWS),
    ".json": json.dumps({"version": "1", "data": ROWS}, indent=1),
    ".csv": "text,label\none,1\ndrei Größen,3\n",
    ".tsv": "text\tlabel\none\t1\ndrei Größen\t3\n",
}
FUZZ = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def packed(content, packing):
    if packing == ".zst":
        sink = pyarrow.BufferOutputStream()
        with pyarrow.CompressedOutputStream(sink, "zstd") as stream:
            stream.write(content)
        return sink.getvalue().to_pybytes()
    return gzip.compress(content, mtime=0) if packing == ".gz" else content


def rows_of(path):
    """Plain objects and their places."""
    rows = list(read_rows(path))
    return [dict(row) for row in rows], [row.place for row in rows]


@pytest.mark.parametrize("packing", ["", ".gz", ".zst"])
@pytest.mark.parametrize("ending", TABLES)
def test_every_ending_is_read_plain_and_packed(tmp_path, ending, packing):
    """One reader for all commands: what evaluate reads a dump reads too."""
    path = tmp_path / f"c{ending}{packing}"
    path.write_bytes(packed(TEXTS[ending].encode(), packing))
    assert ending_of(path) == ending
    assert rows_of(path)[0] == ROWS
    assert all(str(path) in place for place in rows_of(path)[1])


def test_columnar_files_are_read_by_row(tmp_path):
    """Of the named columns only; a document beside a large embedding would cost its memory."""
    table = pyarrow.Table.from_pylist([row | {"id": n} for n, row in enumerate(ROWS)])
    parquet.write_table(table, tmp_path / "c.parquet")
    with pyarrow.ipc.new_stream(tmp_path / "c.arrow", table.schema) as stream:
        stream.write_table(table)
    for name in ("c.parquet", "c.arrow"):
        assert [dict(row) for row in read_rows(tmp_path / name, ["text", "label.x"])] == ROWS
        assert next(read_rows(tmp_path / name))["id"] == 0


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        ('[{"a": 1},\n {"a": 2}]', [{"a": 1}, {"a": 2}]),
        ('{"a": 1}\n{"a": 2}\n', [{"a": 1}, {"a": 2}]),
        ('\n{"a": 1}\n', [{"a": 1}]),
        ('{"data": [{"a": 1}], "names": ["x"]}', [{"a": 1}]),
    ],
)
def test_a_json_file_may_have_any_of_the_usual_forms(tmp_path, content, rows):
    """The ending .json is used for all of them."""
    (tmp_path / "c.json").write_text(content)
    assert rows_of(tmp_path / "c.json")[0] == rows


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("c.jsonl", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "is a Git LFS pointer"),
        ("c.parquet", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "is a Git LFS pointer"),
        ("c.jsonl", b"", "is empty"),
        ("c.jsonl", b'{"a": 1}\n{"a": "\xff"}\n', r"UTF-8 text in .*c\.jsonl, line 2"),
        ("c.jsonl", b'{"a": 1}\n' + b"[" * 100_000 + b"\n", r"c\.jsonl, line 2 cannot be read"),
        ("c.jsonl", b'{"a": ' + b"1" * 5000 + b"}\n", r"c\.jsonl, line 1 cannot be read"),
        ("c.json", b'[{"a": 1},\n{"a" 2}]', r"c\.json, line 2"),
        ("c.json", b'{"a": [{"x": 1}], "b": [{"x": 1}]}', "one list of objects .* found 'a', 'b'"),
        ("c.json", b"[1]", r"c\.json, element 1"),
        ("c.json", b"7", "of type int"),
        ("c.jsonl.gz", gzip.compress(b'{"a": 1}\n' * 1000, mtime=0)[:-12], "cannot be read to its end"),
        ("c.jsonl.gz", b"not packed", "cannot be read to its end"),
        ("c.csv.zst", packed(b"a,b\n1,2\n" * 1000, ".zst")[:-9], "cannot be read to its end"),
        ("c.csv.zst", b"not packed", "cannot be read to its end"),
        ("c.csv", b"a,a\n1,2\n", "names a column twice: 'a'"),
        ("c.arrow", b"nothing", "from row 1 on"),
        ("c.txt", b"plain", "expected a file with columns"),
    ],
)
def test_what_is_wrong_with_a_file_is_one_line_with_its_place(tmp_path, name, content, said):
    """Each of these was met in a report as a traceback, as a short corpus, or as one document of nonsense."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CorpusError, match=said) as refused:
        rows_of(tmp_path / name)
    assert str(tmp_path / name) in str(refused.value)
    assert "\n" not in str(refused.value)


def read_or_refused(path, ending):
    """The two outcomes: values that any later step takes, or one line that names the file."""
    texts, refusal = [], path.name
    try:
        if ending == ".txt":
            texts = list(text_documents(path, has_line_documents(path)))
        else:
            rows = list(read_rows(path))
            texts = [json.dumps(row, ensure_ascii=False, default=str) for row in rows]
            texts += [text for row in rows for name in row for text in texts_of(row, name, row.place)]
    except CorpusError as error:
        refusal = str(error)
    assert path.name in refusal
    assert "\n" not in refusal
    assert all(isinstance(text.encode(), bytes) for text in texts)


ENDINGS = [*(ending + packing for ending in (".txt", *TABLES) for packing in ("", ".gz", ".zst")), *COLUMNAR]
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6)
values = st.recursive(
    scalars | st.text(st.characters(categories=["Cs", "Cc", "L"]), max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize("ending", ENDINGS)
def test_any_bytes_are_read_or_refused(tmp_path, ending):
    """A traceback names neither file nor line, and comes after hours where the fault is late in a corpus."""

    @FUZZ
    @given(content=st.binary(min_size=1, max_size=200), inside=st.booleans(), cut=st.integers(0, 40))
    @example(content=b'{"a": NaN}\n', inside=True, cut=0)
    @example(content=b'"a\n1,2\n', inside=True, cut=0)
    def check(content, inside, cut):
        packing = next((end for end in (".gz", ".zst") if ending.endswith(end)), "")
        data = packed(content, packing) if inside else content
        path = tmp_path / f"c{ending}"
        path.write_bytes(data[: len(data) - cut] or b"x")
        read_or_refused(path, ending.removesuffix(packing))

    check()


@pytest.mark.parametrize("ending", [".jsonl", ".json"])
def test_any_json_is_read_or_refused(tmp_path, ending):
    """Lone surrogates, NaN, a list where text was, another type in a late row."""

    @FUZZ
    @given(rows=st.lists(values | st.dictionaries(st.text(max_size=3), values, max_size=3), min_size=1, max_size=4))
    @example(rows=[{"a": "\ud800"}])
    @example(rows=[{"\udfff": "a"}, {"a": float("nan")}])
    def check(rows):
        path = tmp_path / f"c{ending}"
        path.write_text("\n".join(json.dumps(row) for row in rows) if ending == ".jsonl" else json.dumps(rows))
        read_or_refused(path, ending)

    check()


cells = st.sampled_from([st.text(max_size=4), st.integers(-5, 5), st.floats(), st.binary(max_size=3), st.booleans()])


@FUZZ
@given(
    columns=st.lists(cells.flatmap(lambda kind: st.lists(st.none() | kind, min_size=3, max_size=3)), max_size=3),
    cut=st.integers(0, 60),
)
def test_any_table_is_read_or_refused(tmp_path, columns, cut):
    """Of any types, whole or broken off."""
    table = pyarrow.table({f"c{n}": column for n, column in enumerate(columns)})
    parquet.write_table(table, tmp_path / "c.parquet")
    with pyarrow.ipc.new_stream(tmp_path / "c.arrow", table.schema) as stream:
        stream.write_table(table)
    for ending in COLUMNAR:
        path = tmp_path / f"c{ending}"
        path.write_bytes(path.read_bytes()[: -cut or None] or b"x")
        read_or_refused(path, ending)


@pytest.mark.parametrize("ending", COLUMNAR)
def test_long_rows_are_read_a_few_at_a_time(tmp_path, ending, monkeypatch):
    """1024 documents of a megabyte each are a gigabyte."""
    monkeypatch.setattr(arrow_rows, "BYTES", 1000)
    sizes, real = [], arrow_rows._rows

    def counted(path, batches):
        yield from real(path, (sizes.append(batch.num_rows) or batch for batch in batches))

    monkeypatch.setattr(arrow_rows, "_rows", counted)
    texts = [f"{n}" * 300 for n in range(10, 40)]
    table, path = pyarrow.table({"text": texts}), tmp_path / f"c{ending}"
    if ending == ".parquet":
        parquet.write_table(table, path, row_group_size=20)
    else:
        with pyarrow.ipc.new_stream(path, table.schema) as stream:
            stream.write_table(table)
    assert [row["text"] for row in read_rows(path)] == texts
    assert max(sizes) <= 2


ARROW_TEXTS = {
    "large_string": pyarrow.array(["one", None], pyarrow.large_string()),
    "string_view": pyarrow.array(["one", None], pyarrow.string_view()),
    "dictionary": pyarrow.array(["one", None]).dictionary_encode(),
    "list": pyarrow.array([["one"], None]),
    "large_list": pyarrow.array([["one"], None], pyarrow.large_list(pyarrow.large_string())),
}


@pytest.mark.parametrize("kind", ARROW_TEXTS)
def test_text_has_any_of_the_types_that_writers_give_it(tmp_path, kind):
    """polars writes large_string, pandas writes categories as dictionaries, and DuckDB has views."""
    parquet.write_table(pyarrow.table({"text": ARROW_TEXTS[kind]}), tmp_path / "c.parquet")
    assert [texts_of(row, "text", row.place) for row in read_rows(tmp_path / "c.parquet", ["text"])] == [["one"], []]


@pytest.mark.parametrize(
    ("column", "found"),
    [
        (pyarrow.array([b"one"], pyarrow.binary()), "bytes"),
        (pyarrow.array([{"a": "one"}]), "dict"),
        (pyarrow.array([[("key", "one")]], pyarrow.map_(pyarrow.string(), pyarrow.string())), "tuple"),
    ],
)
def test_columns_that_are_not_text_are_refused_by_their_type(tmp_path, column, found):
    """The keys of a map became text between its values."""
    parquet.write_table(pyarrow.table({"text": column}), tmp_path / "c.parquet")
    (row,) = read_rows(tmp_path / "c.parquet")
    with pytest.raises(CorpusError, match=f"expected text in field 'text' of .*row 1, found .* of type {found}"):
        texts_of(row, "text", row.place)
