"""Corpora of every kind, made on the spot."""

import errno
import gzip
import hashlib
import json
import os
import re

import pytest

from miniend.errors import ConfigurationError, CorpusError
from miniend.teacher_dump.corpus.corpus import documents, fingerprint, is_blank, parse_corpus
from support.corpus_files import ROWS, TEXTS, write_jsonl, write_parquet


def read(name, *fields, split="train"):
    return list(documents(parse_corpus(str(name), fields or ("text",), split)))


@pytest.mark.parametrize(
    ("ending", "write"), [("jsonl", write_jsonl), ("jsonl.gz", write_jsonl), ("parquet", write_parquet)]
)
def test_fields_are_read_in_file_order(tmp_path, ending, write):
    """Segments depend on every document before them, so an order that varies makes another cache."""
    path = write(tmp_path / f"c.{ending}", ROWS)
    assert read(path) == TEXTS
    assert read(path, "text", "summary") == [(row["text"], row["summary"]) for row in ROWS]
    assert read(path, "summary", "text") == [(row["summary"], row["text"]) for row in ROWS]


def test_parquet_is_read_in_batches_without_losing_rows(tmp_path):
    """An off-by-one at a batch border loses documents silently."""
    rows = [{"text": f"row {i}"} for i in range(2500)]
    assert read(write_parquet(tmp_path / "c.parquet", rows)) == [(row["text"],) for row in rows]


def test_text_files_with_a_document_per_line_are_recognized_and_it_is_said(tmp_path):
    """As one document, such a file leaves nothing to hold out."""
    (tmp_path / "c.txt").write_bytes(b"\n\nfirst\r\nsecond\nthird\n")
    said = []
    assert list(documents(parse_corpus(str(tmp_path / "c.txt"), ("text",)), said.append)) == [
        ("first\n",),
        ("second\n",),
        ("third\n",),
    ]
    assert len(said) == 1
    assert "each line is a document" in said[0]


def test_text_files_are_split_at_blank_lines(tmp_path):
    """A byte-order mark or Windows line ends must not glue documents together or enter them."""
    (tmp_path / "c.txt").write_bytes(b"\xef\xbb\xbf\r\nfirst\r\nstill first\r\n\r\n \t\r\n\r\nsecond")
    assert read(tmp_path / "c.txt") == [("first\nstill first\n",), ("second",)]


@pytest.mark.parametrize(("ending", "write"), [("jsonl", write_jsonl), ("parquet", write_parquet)])
def test_documents_with_an_empty_side_stay_in_the_stream(tmp_path, ending, write):
    """Packing leaves them out and counts them; null is an empty text."""
    rows = [{"a": "x", "b": " \n"}, {"a": "", "b": "y"}, {"a": None, "b": "y"}, {"a": "x", "b": "y"}]
    path = write(tmp_path / f"c.{ending}", rows)
    assert read(path, "a", "b") == [("x", ""), ("", "y"), ("", "y"), ("x", "y")]
    assert [is_blank(document) for document in read(path, "a", "b")] == [True, True, True, False]


def test_nan_is_a_missing_text(tmp_path):
    """pandas writes it where a text is missing; a traceback late in a corpus was the answer."""
    (tmp_path / "c.jsonl").write_text(
        '{"a": NaN, "b": NaN}\n{"a": "y", "b": {"c": NaN}}\n{"a": "y", "b": {"c": "z"}}\n'
    )
    assert read(tmp_path / "c.jsonl", "a", "b.c") == [("", ""), ("y", ""), ("y", "z")]


def test_a_glob_is_sorted_by_name_and_mixes_kinds(tmp_path):
    """The file system's own order differs between machines."""
    write_jsonl(tmp_path / "b.jsonl", [{"text": "b"}])
    write_parquet(tmp_path / "a.parquet", [{"text": "a"}])
    (tmp_path / "c.txt").write_text("c")
    assert read(tmp_path / "*") == [("a",), ("b",), ("c",)]


def test_half_a_surrogate_pair_becomes_the_replacement_character(tmp_path):
    """JSON can spell it and no tokenizer takes it: one such page would stop a dump after hours."""
    (tmp_path / "c.jsonl").write_text('{"text": "a\\ud800b"}\n')
    assert read(tmp_path / "c.jsonl") == [("a\ufffdb",)]


def test_lists_and_nested_fields_are_read_as_evaluate_reads_them(tmp_path):
    """Sentences are one text; of several targets students learn the first; translations are objects in objects."""
    rows = [
        {"source": ["One.", "Two."], "targets": [" ", "short", "brief"], "translation": {"en": "house", "de": "Haus"}},
        {"source": "Three.", "targets": [], "translation": None},
    ]
    path = write_jsonl(tmp_path / "c.jsonl", rows)
    assert read(path, "source", "targets") == [("One. Two.", "short"), ("Three.", "")]
    assert read(path, "translation.en", "translation.de") == [("house", "Haus"), ("", "")]


def test_a_saved_dataset_is_read_by_the_name_of_its_folder(tmp_path):
    """`save_to_disk` is how people keep what they prepared; `load_dataset` refuses it with a page of advice."""
    import datasets

    parts = {"train": datasets.Dataset.from_list(ROWS), "test": datasets.Dataset.from_list(ROWS[:1])}
    datasets.DatasetDict(parts).save_to_disk(tmp_path / "both")
    parts["train"].select([2, 0]).save_to_disk(tmp_path / "chosen")
    assert read(tmp_path / "both") == TEXTS
    assert read(tmp_path / "both", split="test") == TEXTS[:1]
    assert read(tmp_path / "chosen") == [TEXTS[2], TEXTS[0]]
    with pytest.raises(CorpusError, match=r"has the splits 'train', 'test', but not 'dev'; name one with --split"):
        read(tmp_path / "both", split="dev")
    with pytest.raises(CorpusError, match=r"write --corpus .*both without hf:"):
        read(f"hf:{tmp_path / 'both'}")


def test_python_docs_are_english_pages_by_key():
    """The corpus of the demo; nothing to download."""
    from pydoc_data import topics

    found = read("python-docs")
    assert "\n\n".join(text for (text,) in found) == "\n\n".join(topics.topics[key] for key in sorted(topics.topics))
    assert sum(len(text) for (text,) in found) > 300_000
    assert max(len(text) for (text,) in found) < 10_000


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            '{"text": "a"}\n{"txt": "b", "id": 1}\n',
            r"no field 'text' in .*c\.jsonl, line 2; its fields are 'txt', 'id'",
        ),
        ('{"text": "a"}\n\n{"text": \n', r"expected a JSON object, found .* in .*c\.jsonl, line 3"),
        ('["text"]\n', r"expected a JSON object, found .*c\.jsonl, line 1"),
        ('{"text": ["a", 7]}\n', r"expected text in field 'text' of .*line 1, found 7 of type int: name others"),
        ('{"text": ""}\n', r"does not have a document with text in text"),
    ],
)
def test_a_jsonl_file_that_does_not_fit_is_refused_with_its_place(tmp_path, content, said):
    """Skipping what does not fit would train on half a corpus."""
    (tmp_path / "c.jsonl").write_text(content)
    with pytest.raises(CorpusError, match=said):
        read(tmp_path / "c.jsonl")


def test_an_unknown_parquet_column_is_refused_with_those_that_exist(tmp_path):
    """The same for parquet, before any row is read."""
    write_parquet(tmp_path / "c.parquet", ROWS)
    with pytest.raises(CorpusError, match=r"no field 'body' in .*its fields are 'text', 'summary'"):
        read(tmp_path / "c.parquet", "body")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("c.jsonl", '{"text": "Größe"}'.encode("latin-1"), "UTF-8"),
        ("c.jsonl.gz", gzip.compress(b'{"text": "a"}\n' * 1000, mtime=0)[:-12], "cannot be read to its end"),
        ("c.jsonl.gz", b"no gzip", "cannot be read to its end"),
        ("c.parquet", b"no parquet, whatever its name says", "cannot be read as parquet"),
    ],
)
def test_damaged_files_are_refused_by_name(tmp_path, name, content, said):
    """A download that broke off must not pass as a short corpus."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CorpusError, match=said) as caught:
        read(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)


def test_names_without_readable_files_are_refused(tmp_path):
    """Found at once, not after the teacher was loaded."""
    (tmp_path / "empty.jsonl").touch()
    (tmp_path / "pointer").mkdir()
    (tmp_path / "pointer" / "c.txt").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    (tmp_path / "c.xlsx").write_text("a,b")
    (tmp_path / "c.txt").write_text("plain")
    for name, said in [
        ("none.jsonl", "no file matches"),
        ("none-*", "no file matches"),
        (
            "",
            r"holds c\.txt, c\.xlsx, empty\.jsonl, pointer; write a folder as a quoted glob, .* '.*/\*\.(txt|jsonl)'",
        ),
        ("empty.jsonl", "empty.jsonl is empty"),
        ("empty.json", "did you mean empty.jsonl in the folder"),
        ("gone/c.jsonl", "the folder .*gone does not exist"),
        ("pointer/c.txt", "is a Git LFS pointer and not the data; fetch the data with `git lfs pull`"),
        ("c.xlsx", r"ending in \.txt, \.jsonl, .*, found .*c\.xlsx"),
    ]:
        with pytest.raises(CorpusError, match=said):
            parse_corpus(str(tmp_path / name) if name else str(tmp_path), ("text",))
    for name in (str(tmp_path / "c.txt"), "python-docs"):
        with pytest.raises(CorpusError, match="plain text"):
            parse_corpus(name, ("a", "b"))


def test_a_pipe_is_called_a_pipe(tmp_path):
    """`--corpus <(zcat ...)` was answered with "did you mean" and the same name."""
    os.mkfifo(tmp_path / "pipe.jsonl")
    for name in (tmp_path / "pipe.jsonl", "/dev/null"):
        with pytest.raises(CorpusError, match="it is a pipe or a device; write what comes out of it to a file"):
            parse_corpus(str(name), ("text",))


@pytest.mark.parametrize("name", ["{}/*/*.txt", "{}/**/*.txt", "{}/*/*/*.txt", "hf:{}"])
def test_a_folder_that_cannot_be_listed_does_not_make_the_corpus_shorter(tmp_path, monkeypatch, name):
    """glob.glob and datasets pass over it: a student would never see those files, and nobody would know."""
    for file in ("a/1.txt", "b/c/2.txt"):
        (tmp_path / file).parent.mkdir(parents=True)
        (tmp_path / file).write_text("words")
    scan = os.scandir

    def refused(path):
        if str(path).endswith("/b"):
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        return scan(path)

    assert parse_corpus(name.format(tmp_path), ("text",)).files
    monkeypatch.setattr(os, "scandir", refused)
    with pytest.raises(CorpusError, match=r"cannot be listed whole \(Input/output error: .*/b\); make that readable"):
        parse_corpus(name.format(tmp_path), ("text",))


@pytest.mark.parametrize("name", ["{}/*.txt", "{}/**", "hf:{}", "{}/2.txt"])
def test_a_link_that_leads_nowhere_does_not_make_the_corpus_shorter(tmp_path, name):
    """A download of the hub whose blob is gone: the file was left out without a word."""
    (tmp_path / "1.txt").write_text("words")
    (tmp_path / "2.txt").symlink_to("../blobs/2")
    with pytest.raises(CorpusError, match=r"corpus file .*2\.txt .*it is a link to \.\./blobs/2, which does not exist"):
        parse_corpus(name.format(tmp_path), ("text",))


def test_the_glob_that_is_proposed_for_a_folder_matches_its_files(tmp_path):
    """In the name of a folder, brackets are letters; in a glob they are not."""
    folder = tmp_path / "set [1]*"
    folder.mkdir()
    (folder / "1.txt").write_text("words")
    with pytest.raises(CorpusError, match="write a folder as a quoted glob") as caught:
        parse_corpus(str(folder), ("text",))
    proposed = re.search("--corpus '(.*)'", str(caught.value))[1]
    assert parse_corpus(proposed, ("text",)).files == (folder / "1.txt",)


@pytest.mark.parametrize("fields", [(), ("a", "b", "c"), ("",)])
def test_fields_are_one_or_two_names(fields):
    """Anything else has no meaning."""
    with pytest.raises(ConfigurationError):
        parse_corpus("python-docs", fields)


def print_of(name):
    """The fingerprint of a corpus, in JSON."""
    return fingerprint(parse_corpus(name, ("text",)), 2.0).body()


def test_the_fingerprint_of_files_is_their_content_and_not_their_place(tmp_path):
    """A moved corpus is the same; a changed byte is another, and must not be spliced onto an old cache."""
    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
        write_jsonl(tmp_path / folder / "c.jsonl", ROWS)
    here, there = (print_of(str(tmp_path / folder / "*.jsonl")) for folder in ("here", "there"))
    content = (tmp_path / "here" / "c.jsonl").read_bytes()
    assert here == there == json.loads(json.dumps(here))
    assert here == {
        "kind": "files",
        "weight": 2.0,
        "files": [{"name": "c.jsonl", "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}],
    }
    (tmp_path / "there" / "c.jsonl").write_bytes(content.replace(b"one", b"ONE"))
    assert print_of(str(tmp_path / "there" / "*.jsonl")) != here


def test_the_fingerprint_of_the_python_docs_is_that_of_their_text():
    """Python versions carry different texts under one name."""
    text = "\0".join(text for (text,) in read("python-docs"))
    expected = {"kind": "python-docs", "weight": 2.0, "sha256": hashlib.sha256(text.encode()).hexdigest()}
    assert print_of("python-docs") == expected
