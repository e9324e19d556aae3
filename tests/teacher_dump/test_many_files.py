"""A corpus of many files has a list beside the plan, which is compared like the plan."""

import json

import pytest

import miniend
from miniend.errors import CacheMismatchError
from miniend.recipes.repair.verify import verify_cache
from miniend.storage.documents.plan import Plan
from miniend.storage.folder import PublishedFolder
from miniend.storage.layout import plan_path
from miniend.teacher_dump.config import DumpConfig
from miniend.teacher_dump.corpus import file_lists, mixture
from miniend.teacher_dump.dump import dump_teacher
from support.tiny_t5 import build_tiny_t5, tiny_texts
from support.tiny_tokenizer import build_tiny_tokenizer

FILES = 12


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    tokenizer = build_tiny_tokenizer(tiny_texts(30), 100, sentinels=8)
    return build_tiny_t5(tmp_path_factory.mktemp("teacher"), tokenizer, layers=(1, 1), d_model=8, heads=2, d_kv=8)


@pytest.fixture
def corpus(tmp_path):
    """Two folders of small files, each of one document per line."""
    for number, text in enumerate(tiny_texts(4 * FILES, words=30)):
        folder = tmp_path / "corpus" / str(number % 2)
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / f"{number % FILES:02}.txt").open("a") as file:
            file.write(text + "\n")
    return tmp_path / "corpus"


def dump(teacher, corpus, cache, **changed):
    settings = {
        "teacher": str(teacher),
        "corpus": str(corpus / "*" / "*.txt"),
        "examples": 12,
        "validation_examples": 2,
        "calibration_examples": 4,
        "input_length": 32,
        "signals": "none",
        "device": "cpu",
        "threads": 1,
        **changed,
    }
    said = []
    dump_teacher(DumpConfig(cache=cache, **settings), log=said.append)
    return said


def contents(root, folders=("segments", "shards", "calibration")):
    paths = [path for path in sorted(root.rglob("*")) if path.is_file() and path.relative_to(root).parts[0] in folders]
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in paths if path.suffix != ".json"}


def test_many_files_are_listed_beside_the_plan(teacher, corpus, tmp_path, monkeypatch):
    """A plan of 300,000 files would be 50 MB, which every reader parses; the examples are the same in both forms."""
    dump(teacher, corpus, tmp_path / "one-by-one")
    monkeypatch.setattr(file_lists, "MOST_IN_PLAN", FILES - 1)
    dump(teacher, corpus, tmp_path / "listed")
    folder = PublishedFolder(plan_path(tmp_path / "listed"), "plan")
    [part] = folder.parsed(Plan).corpus.parts
    [old] = PublishedFolder(plan_path(tmp_path / "one-by-one"), "plan").parsed(Plan).corpus.parts
    assert (part.files, part.file_list.count) == (None, FILES)
    assert part.file_list.bytes == sum(file.bytes for file in old.files)
    assert [json.loads(line) for line in folder.file("corpus/0.jsonl").splitlines()] == [f.body() for f in old.files]
    assert contents(tmp_path / "listed") == contents(tmp_path / "one-by-one")
    assert verify_cache(tmp_path / "listed").sound
    assert len(miniend.open_cache(tmp_path / "listed")) == 12


def test_a_dump_of_many_files_goes_on_and_notices_a_changed_one(teacher, corpus, tmp_path, monkeypatch):
    """Of 300,000 files a message names the first that differs."""
    monkeypatch.setattr(file_lists, "MOST_IN_PLAN", FILES - 1)
    dump(teacher, corpus, tmp_path / "cache", examples=6)
    dump(teacher, corpus, tmp_path / "cache", examples=12)
    changed = corpus / "1" / "03.txt"
    content = changed.read_text()
    changed.write_text(content + "more")
    with pytest.raises(CacheMismatchError, match=r"of a corpus of many files, '03\.txt' \(file 8\) has other content"):
        dump(teacher, corpus, tmp_path / "cache")
    changed.write_text(content)
    (corpus / "0" / "00a.txt").write_text("new text\n")
    with pytest.raises(CacheMismatchError, match=r"file 2 there is '02\.txt', now '00a\.txt' \(--corpus\)"):
        dump(teacher, corpus, tmp_path / "cache")
    for path in corpus.rglob("*.txt"):
        path.rename(path.with_suffix(".text.txt"))
    with pytest.raises(CacheMismatchError, match="file 1 there is"):
        dump(teacher, corpus, tmp_path / "cache")


def test_lines_on_many_files_are_counted(teacher, corpus, tmp_path, monkeypatch):
    """300,000 lines of the same kind are not read."""
    monkeypatch.setattr(mixture, "MOST_NOTES", 2)
    said = dump(teacher, corpus, tmp_path / "cache")
    assert sum("each line is a document" in line for line in said) == 2
    assert f"... and {FILES - 2} more lines on other files" in said
