"""Several corpora as one stream: order, refusals, and what a plan records of it."""

import hashlib
import json
import os
from pathlib import Path

import pytest

from miniend.errors import ConfigurationError, CorpusError
from miniend.teacher_dump.config import DumpConfig
from miniend.teacher_dump.corpus.mixture import parse_mixture
from support.corpus_files import write_jsonl, write_parquet


@pytest.fixture
def two(tmp_path):
    """a.jsonl with 30 documents, b.parquet with 10."""
    a = write_jsonl(tmp_path / "a.jsonl", [{"text": f"a{i}"} for i in range(30)])
    b = write_parquet(tmp_path / "b.parquet", [{"text": f"b{i}"} for i in range(10)])
    return str(a), str(b)


def mixture(*corpora, **settings):
    return parse_mixture(DumpConfig(teacher="t", corpus=corpora, cache="c", examples=3, **settings))


def texts(*corpora, **settings):
    return [text for (text,) in mixture(*corpora, **settings).documents()]


def test_one_corpus_is_read_as_it_lies(two):
    """Neither a weight nor the seed has anything to decide there."""
    expected = [f"a{i}" for i in range(30)]
    assert texts(two[0]) == texts(two[0], seed=3, corpus_weight=(0.5,)) == expected
    assert parse_mixture(DumpConfig(teacher="t", corpus=two[0], cache="c", examples=3)) == mixture(two[0])


def test_corpora_are_mixed_by_weight_and_the_rest_follows(two):
    """Three to one while both last; equal shares use the short one up early and go on with the long one."""
    mixed = texts(*two, corpus_weight=(3, 1))
    assert sorted(mixed) == sorted(texts(two[0]) + texts(two[1]))
    assert [sum(text[0] == "b" for text in mixed[i : i + 4]) for i in range(0, 40, 4)] == [1] * 10
    equal = texts(*two)
    assert {text[0] for text in equal[20:]} == {"a"}
    assert sum(text[0] == "a" for text in equal[:20]) == 10


def test_the_buffer_shuffles_what_was_mixed(two):
    """Shuffling each corpus alone would leave the pattern of the mixture, mixing alone the order of the files."""
    plain, shuffled = texts(*two), texts(*two, shuffle_buffer=7)
    assert sorted(shuffled) == sorted(plain)
    assert shuffled != plain
    assert shuffled == texts(*two, shuffle_buffer=7)
    assert shuffled != texts(*two, shuffle_buffer=7, seed=1)
    assert all(plain.index(text) - place < 7 for place, text in enumerate(shuffled))


@pytest.mark.parametrize("weights", [(1,), (1, 2, 3), (1, 0), (1, -1), (1, float("nan")), (1, float("inf"))])
def test_weights_that_do_not_fit_the_corpora_are_refused(two, weights):
    """A weight too few would go to the wrong corpus; zero would never end."""
    with pytest.raises(
        ConfigurationError,
        match=r"(one positive )?--corpus-weight(: expected a finite number| for each of 2 --corpus.*found 1)",
    ):
        mixture(*two, corpus_weight=weights)


def test_a_file_or_dataset_in_two_corpora_is_refused(two, tmp_path):
    """Its documents would be held out in one place and trained on in the other."""
    for second in (two[0], str(tmp_path / "*.jsonl"), str(tmp_path / ".." / tmp_path.name / "a.jsonl")):
        with pytest.raises(ConfigurationError, match=r"share .*a\.jsonl: its documents would come twice"):
            mixture(two[0], second)
    for name in ("hf:owner/name:part", "python-docs"):
        with pytest.raises(ConfigurationError, match="come twice"):
            mixture(name, two[0], name)
    assert len(mixture("hf:owner/name:one", "hf:owner/name:two", "python-docs").corpora) == 3


def test_no_corpus_at_all_is_refused():
    """From Python; the command line asks for one itself."""
    with pytest.raises(ConfigurationError, match="--corpus"):
        DumpConfig(teacher="t", corpus=(), cache="c", examples=3)


def test_every_corpus_is_looked_into_before_anything_is_planned(two, tmp_path):
    """The second corpus's wrong field would else be met after an hour, or never mentioned by name."""
    other = write_jsonl(tmp_path / "other.jsonl", [{"content": "c"}])
    with pytest.raises(
        CorpusError, match=r"no field 'text' in .*other\.jsonl, line 1; its fields are 'content'.*for every"
    ):
        mixture(*two, str(other)).require_documents()
    blank = write_jsonl(tmp_path / "blank.jsonl", [{"text": " "}])
    with pytest.raises(CorpusError, match=r"the corpus .*blank\.jsonl does not have a document with text"):
        mixture(*two, str(blank)).require_documents()
    mixture(*two, "python-docs").require_documents()


def test_the_fingerprint_holds_every_corpus_with_its_weight(two, tmp_path):
    """What a resumed dump is compared with."""
    found = mixture(*two, corpus_weight=(0.75, 0.25), shuffle_buffer=5).fingerprint().planned.body()
    assert found == json.loads(json.dumps(found))
    assert (found["fields"], found["shuffle_buffer"]) == (["text"], 5)
    assert [(part["kind"], part["weight"], part["files"][0]["name"]) for part in found["parts"]] == [
        ("files", 0.75, "a.jsonl"),
        ("files", 0.25, "b.parquet"),
    ]
    digest = hashlib.sha256((tmp_path / "b.parquet").read_bytes()).hexdigest()
    assert found["parts"][1]["files"][0]["sha256"] == digest


def test_one_split_is_read_of_every_local_folder(tmp_path):
    """`datasets` finds splits by the names of files or of folders; another split must not slip in."""
    for name in ("named/train-0", "named/validation-0", "named/validation-1", "in/train/0", "in/validation/0"):
        path = tmp_path / f"{name}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_jsonl(path, [{"text": name}])
    folders = [f"hf:{tmp_path / folder}" for folder in ("named", "in")]
    assert sorted(texts(*folders)) == ["in/train/0", "named/train-0"]
    held = mixture(*folders, split="validation")
    assert sorted(text for (text,) in held.documents()) == [
        "in/validation/0",
        "named/validation-0",
        "named/validation-1",
    ]
    parts = held.pinned().fingerprint().planned.body()["parts"]
    assert [(part["name"], part["split"], part["revision"]) for part in parts] == [
        ("named", "validation", None),
        ("in", "validation", None),
    ]
    files = [[file["name"] for file in part["files"]] for part in parts]
    assert files == [["validation-0.jsonl", "validation-1.jsonl"], ["0.jsonl"]]
    with pytest.raises(CorpusError, match=r"hf:.*named \(test\) has the splits train, validation; name one"):
        mixture(*folders, split="test").require_documents()


def test_every_hub_dataset_is_read_at_the_commit_that_is_recorded(monkeypatch):
    """A dataset that moves between the plan and the reading would be another corpus under the plan's name."""
    from types import SimpleNamespace

    import datasets
    from huggingface_hub import HfApi

    asked = []

    def commit_of(self, name, revision=None, timeout=None):
        return SimpleNamespace(sha=f"{name}-{revision}-commit")

    def load_dataset(path, **options):
        asked.append((path, options["revision"]))
        return [{"text": path}]

    monkeypatch.setattr(HfApi, "dataset_info", commit_of)
    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    found = mixture("hf:a/b", "hf:c/d:part@v1").pinned()
    assert sorted(found.documents()) == [("a/b",), ("c/d",)]
    expected = [("a/b", "a/b-None-commit"), ("c/d", "c/d-v1-commit")]
    assert sorted(asked) == expected
    assert [(part["name"], part["revision"]) for part in found.fingerprint().planned.body()["parts"]] == expected


def test_a_dump_goes_on_at_the_commits_of_its_plan(monkeypatch):
    """A new commit on the hub made the resumed dump another one, of each dataset for which no revision was asked."""
    from types import SimpleNamespace

    from huggingface_hub import HfApi

    commits = iter(["1", "2", "3", "4"])
    monkeypatch.setattr(
        HfApi, "dataset_info", lambda self, name, revision=None, timeout=None: SimpleNamespace(sha=next(commits))
    )
    plan = mixture("hf:a/b", "hf:c/d:part@v1").pinned().fingerprint().planned
    again = mixture("hf:a/b", "hf:c/d:part@v1", "hf:a/b:other").pinned(plan)
    assert [corpus.hub.revision for corpus in again.corpora] == ["1", "3", "4"]


CHANGES = {
    "grows": lambda path: path.write_text(path.read_text() + '{"text": "more"}\n'),
    "is rotated": lambda path: (path.rename(path.with_suffix(".1")), write_jsonl(path, [{"text": "new"}] * 99)),
    "is cut": lambda path: write_jsonl(path, [{"text": "a0"}]),
    "is gone": lambda path: path.unlink(),
    "is of the same length": lambda path: (path.write_text(path.read_text().replace("a", "b")), os.utime(path, (1, 1))),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("begun", [False, True])
def test_a_file_that_changes_after_it_was_hashed_is_refused(two, change, begun):
    """The plan named bytes that the segments do not come from, and every later check believed it."""
    found = mixture(*two)
    found.fingerprint()
    stream = found.documents()
    if begun:
        next(stream)
    change(Path(two[0]))
    with pytest.raises(
        CorpusError, match=r"a\.jsonl (has changed since its digest was taken|cannot be read)"
    ) as refused:
        list(stream)
    assert "\n" not in str(refused.value)


def test_a_file_that_is_only_touched_is_not_refused_for_its_inode(two):
    """A backup that links a file changes when its entry was changed, and nothing in it."""
    found = mixture(*two)
    found.fingerprint()
    os.link(two[0], two[0] + ".backup")
    assert len(list(found.documents())) == 40


def test_copies_of_files_are_noted_once(tmp_path):
    """A browser's second download doubled its documents, and put them on both sides of the validation split."""
    for name in ("a.jsonl", "a (1).jsonl", "a (2).jsonl", "b.jsonl"):
        write_jsonl(tmp_path / name, [{"text": name[0]}] * 3)
    found = mixture(str(tmp_path / "*.jsonl"))
    found.fingerprint()
    assert [line for line in found.note_lines() if "content of another" in line] == list(found.note_lines())[:1]
    assert "with the content of another: 2, such as a (2).jsonl, which equals a (1).jsonl" in next(found.note_lines())
    assert not list(mixture(str(tmp_path / "b*")).note_lines())
