"""Rows from files, as GLUE and others hand them round."""

import pandas
import pytest

from miniend.data.rows import read_rows
from miniend.errors import CorpusError


def read(path, headerless=()):
    """The rows as plain objects, and what was said of them."""
    said = []
    return [dict(row) for row in read_rows(path, headerless=headerless, log=said.append)], said


def test_tabs_alone_divide_a_tsv(tmp_path):
    """Quotes in GLUE are text; an opening one without its pair would swallow the rest of the file. So would a BOM a column."""
    path = tmp_path / "dev.tsv"
    path.write_bytes('﻿Quality\t#1 String\r\n1\t" he said\r\n0\tso, "yes"\r\n'.encode())
    assert read(path)[0] == [
        {"Quality": "1", "#1 String": '" he said'},
        {"Quality": "0", "#1 String": 'so, "yes"'},
    ]


def test_a_tsv_that_pandas_quoted_is_warned_about_and_glues_own_quotes_are_not(tmp_path):
    """The texts would keep quotes that nobody wrote, all of them doubled."""
    texts = ['she said "hi" twice', 'he "left"', "so"]
    pandas.DataFrame({"sentence": texts, "label": [1, 0, 1]}).to_csv(tmp_path / "train.tsv", sep="\t", index=False)
    read_rows, said = read(tmp_path / "train.tsv")
    assert read_rows[0]["sentence"] == '"she said ""hi"" twice"'
    assert len(said) == 1
    assert "2 fields with doubled quotes" in said[0]
    glue = 'sentence\tlabel\n"yes" he said\t1\n"all of it"\t1\n""\t0\n" open\t0\nhe said ""\t1\n'
    (tmp_path / "dev.tsv").write_text(glue)
    assert read(tmp_path / "dev.tsv")[1] == []


def test_a_csv_is_quoted(tmp_path):
    """Commas and line breaks inside quotes belong to the text."""
    path = tmp_path / "train.csv"
    path.write_bytes(b'sentence,label\r\n"one, two\r\nthree",1\r\n\r\n')
    assert read(path) == ([{"sentence": "one, two\r\nthree", "label": "1"}], [])


def test_a_csv_may_hold_a_long_document(tmp_path):
    """Python's csv stops at 131,072 characters, which a chapter of a book has."""
    path = tmp_path / "train.csv"
    path.write_text(f"document,summary\n{'word ' * 30_000},short\n")
    assert len(read(path)[0][0]["document"]) == 150_000


def test_json_lines_are_rows(tmp_path):
    """Empty lines are none."""
    path = tmp_path / "train.jsonl"
    path.write_text('{"sentence": "a", "label": 1}\n\n{"sentence": "b", "label": 0}\n')
    assert read(path)[0] == [{"sentence": "a", "label": 1}, {"sentence": "b", "label": 0}]


def test_a_file_without_header_gets_the_columns_of_its_task(tmp_path):
    """CoLA's own files have none; those that were given one keep it."""
    columns = ("source", "label", "star", "sentence")
    (tmp_path / "bare.tsv").write_text("gj04\t1\t\tHe went.\ngj04\t0\t*\tHe go.\n")
    (tmp_path / "headed.tsv").write_text("source\tlabel\tstar\tsentence\ngj04\t1\t\tHe went.\n")
    bare, headed = (read(tmp_path / name, columns)[0] for name in ("bare.tsv", "headed.tsv"))
    assert [row["sentence"] for row in bare] == ["He went.", "He go."]
    assert [row["sentence"] for row in headed] == ["He went."]
    (tmp_path / "other.tsv").write_text("text\tmark\nHe went.\t1\n")
    assert read(tmp_path / "other.tsv", columns)[0] == [{"text": "He went.", "mark": "1"}]


def test_empty_fields_and_lines_of_a_tsv(tmp_path):
    """A field at the end may be empty; a line that is counts for nothing."""
    path = tmp_path / "dev.tsv"
    path.write_text("sentence\tnote\n\nfine\t\n\n")
    assert read(path) == ([{"sentence": "fine", "note": ""}], [])


def test_a_few_broken_lines_are_passed_over_and_counted(tmp_path):
    """GLUE's QQP has some."""
    path = tmp_path / "train.tsv"
    path.write_text("question1\tis_duplicate\n" + "why\t1\n" * 200 + "broken\nhow\t1\t2\n")
    rows, said = read(path)
    assert rows == [{"question1": "why", "is_duplicate": "1"}] * 200
    assert "2 of 202 rows" in said[0]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.tsv", "", "is empty"),
        ("a.tsv", "sentence\tsentence\n", "names a column twice: 'sentence'"),
        ("a.tsv", "sentence\tlabel\nbroken\nwhole\t1\n", "1 of 2 rows"),
        ("a.jsonl", '{"a": 1}\n{"a"\n', r"expected a JSON object, found .* in .*a\.jsonl, line 2"),
        ("a.jsonl", "[1]\n", r"expected a JSON object, found '\[1\]' in .*line 1"),
        ("a.csv", "", "is empty"),
    ],
)
def test_files_that_hold_no_table_are_refused(tmp_path, name, content, message):
    """One clear line with the file's name."""
    (tmp_path / name).write_text(content)
    with pytest.raises(CorpusError, match=message) as refused:
        read(tmp_path / name)
    assert name in str(refused.value)


def test_a_file_that_is_missing_is_refused(tmp_path):
    """It may have been moved since it was found."""
    with pytest.raises(CorpusError, match=r"a\.tsv cannot be read"):
        read(tmp_path / "a.tsv")


def test_a_file_that_is_no_text_is_refused(tmp_path):
    """A traceback of the decoder would name no file."""
    (tmp_path / "a.tsv").write_bytes(b"sentence\tlabel\n\xff\xfe\t1\n")
    with pytest.raises(CorpusError, match=r"a\.tsv, line 2, found another encoding"):
        read(tmp_path / "a.tsv")
