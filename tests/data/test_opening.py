"""Files as other systems and broken transfers leave them: the same rows, or one line that says what they are."""

import codecs
import gzip
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from miniend.data.opening import numbered_lines
from miniend.data.rows import read_rows
from miniend.data.text import has_line_documents, text_documents
from miniend.errors import CorpusError

ROWS = [{"text": "one", "label": "1"}, {"text": "drei Größen", "label": "3"}]
TEXTS = {
    ".jsonl": "".join(json.dumps(row) + "\n" for row in ROWS),
    ".json": json.dumps(ROWS, indent=1),
    ".csv": "text,label\none,1\ndrei Größen,3\n",
    ".tsv": "text\tlabel\none\t1\ndrei Größen\t3\n",
}


def rows_in(path, content):
    path.write_bytes(content)
    return [dict(row) for row in read_rows(path)]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("ending", TEXTS)
def test_line_ends_and_a_byte_order_mark_do_not_change_the_rows(tmp_path, ending, end):
    """With lone carriage returns a .tsv was one header, and a .jsonl one line with "Extra data"; a mark hides a name."""
    content = TEXTS[ending].replace("\n", end).encode()
    assert rows_in(tmp_path / f"c{ending}", codecs.BOM_UTF8 + content) == ROWS
    assert rows_in(tmp_path / f"d{ending}.gz", gzip.compress(content)) == ROWS


def test_joined_files_keep_no_mark_in_the_middle(tmp_path):
    """`cat *.jsonl` of files from Windows puts a mark before a later line, where json refuses it."""
    part = codecs.BOM_UTF8 + TEXTS[".jsonl"].encode()
    assert rows_in(tmp_path / "c.jsonl", part + part) == ROWS * 2


def test_documents_that_lone_carriage_returns_end_are_documents(tmp_path):
    """All of them were one document, and a corpus of any size "too short"."""
    path = tmp_path / "c.txt"
    path.write_bytes(b"one\rone more\r\rtwo")
    assert not has_line_documents(path)
    assert list(text_documents(path, by_line=False)) == ["one\none more\n", "two"]
    path.write_bytes(b"one\rtwo\rthree")
    assert has_line_documents(path)


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le"])
@pytest.mark.parametrize("ending", [*TEXTS, ".txt"])
def test_wide_encodings_are_named(tmp_path, ending, codec):
    """Without a mark each byte is valid UTF-8: a .txt was dumped with a zero character after each letter."""
    path = tmp_path / f"c{ending}"
    path.write_bytes(TEXTS.get(ending, "one\n\ntwo\n").encode(codec))
    with pytest.raises(CorpusError, match=r"UTF-16, or zero bytes.*iconv") as refused:
        list(numbered_lines(path))
    assert str(path) in str(refused.value)


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n\0\ufeff")), min_size=2))
def test_any_lines_are_read_alike_with_any_end(tmp_path, lines):
    """A file that begins with a carriage return, or holds nothing else, is one too."""
    path, found = tmp_path / "c.txt", []
    for end in ("\n", "\r\n", "\r"):
        path.write_bytes(codecs.BOM_UTF8 + (end.join(lines) + end).encode())
        found.append([line.rstrip("\r\n") for _, line in numbered_lines(path)])
    assert found[0] == found[1]
    assert found[0] == found[2] or not any(lines[1:])


@pytest.mark.parametrize("content", [gzip.compress(b"text\n", mtime=0) + b"rest of another file", b"text\n"])
def test_what_gzip_cannot_unpack_is_said_with_a_way_out(tmp_path, content):
    """ "Fetch it again" does not help where the file is as its author left it."""
    path = tmp_path / "c.tsv.gz"
    path.write_bytes(content)
    with pytest.raises(
        CorpusError, match=r"c\.tsv\.gz cannot be read to its end as gzip.*pack it with gzip, or take \.gz off"
    ):
        list(read_rows(path))
