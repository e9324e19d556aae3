"""Corpora through `datasets`, on local folders and without a network."""

import json

import pytest

from miniend.errors import CorpusError
from miniend.teacher_dump.corpus.corpus import documents, fingerprint, parse_corpus
from support.corpus_files import ROWS, TEXTS, write_jsonl, write_parquet


def read(name, *fields, split="train"):
    return list(documents(parse_corpus(str(name), fields or ("text",), split)))


@pytest.mark.parametrize(
    ("ending", "write"), [("jsonl", write_jsonl), ("jsonl.gz", write_jsonl), ("parquet", write_parquet)]
)
def test_a_local_folder_is_read_through_datasets(tmp_path, ending, write):
    """The hub's path, tried without a network."""
    write(tmp_path / f"train.{ending}", ROWS)
    write(tmp_path / f"test.{ending}", ROWS[:1])
    assert read(f"hf:{tmp_path}") == TEXTS
    assert read(f"hf:{tmp_path}", "text", "summary", split="test") == [("one", "1")]
    described = fingerprint(parse_corpus(f"hf:{tmp_path}", ("text",)), 1.0).body()
    assert described["files"][0]["name"] == f"train.{ending}"
    assert (described["name"], described["split"], described["revision"]) == (tmp_path.name, "train", None)


def test_what_datasets_cannot_find_becomes_one_corpus_error(tmp_path):
    """Its own errors are many, and some are pages long."""
    write_jsonl(tmp_path / "train.jsonl", ROWS)
    for name, field, split in [
        (f"hf:{tmp_path}/none", "text", "train"),
        (f"hf:{tmp_path}:none", "text", "train"),
        (f"hf:{tmp_path}", "text", "none"),
        (f"hf:{tmp_path}", "none", "train"),
    ]:
        with pytest.raises(CorpusError, match=r"hf:|train\.jsonl, line 1") as caught:
            read(name, field, split=split)
        assert "\n" not in str(caught.value)


def test_a_missing_network_becomes_a_corpus_error_and_the_revision_stays(monkeypatch):
    """Neither a hub without answer nor one that forgets the revision may go unnoticed."""
    import datasets
    from huggingface_hub import HfApi

    asked = {}

    def refuse(*args, **kwargs):
        asked.update(kwargs, name_or_path=args[0])
        raise ConnectionError("no\nnetwork")

    monkeypatch.setattr(datasets, "load_dataset", refuse)
    monkeypatch.setattr(HfApi, "dataset_info", refuse)
    corpus = parse_corpus("hf:owner/name:part@v1.0", ("text",), "validation")
    with pytest.raises(CorpusError, match=r"hf:owner/name:part@v1.0 \(validation\) cannot be read .*: no network;"):
        list(documents(corpus))
    wanted = {
        "name_or_path": "owner/name",
        "name": "part",
        "revision": "v1.0",
        "split": "validation",
        "streaming": True,
    }
    assert asked == wanted
    described = fingerprint(corpus, 0.5).body()
    assert described == {
        "kind": "hf",
        "weight": 0.5,
        "name": "owner/name",
        "config": "part",
        "revision": "v1.0",
    } | {"split": "validation"}


@pytest.mark.parametrize("name", ["hf:", "hf:@v1", "hf:name:", "hf:name@", "hf::part"])
def test_incomplete_hub_names_are_refused(name):
    """An empty revision would silently mean the newest."""
    with pytest.raises(CorpusError, match="expected hf:NAME"):
        parse_corpus(name, ("text",))


def test_a_revision_of_a_local_folder_is_refused(tmp_path):
    """`datasets` ignores it without a word."""
    with pytest.raises(CorpusError, match="does not have revisions"):
        parse_corpus(f"hf:{tmp_path}@v1", ("text",))


def test_values_of_another_type_late_in_a_local_folder_name_file_and_line(tmp_path):
    """`datasets` says only that it could not cast, and has advised to check the network."""
    rows = [{"text": "a"}] * 2000
    content = "".join(json.dumps(row) + "\n" for row in [*rows, {"text": {"html": "b"}}, {"text": "c", "more": 1}])
    (tmp_path / "train.jsonl").write_text(content)
    with pytest.raises(
        CorpusError, match=r"text in field 'text' of .*train\.jsonl, line 2001, found {'html': 'b'} of type"
    ):
        read(f"hf:{tmp_path}")


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (ValueError("Couldn't cast array of type struct to string"), "do not agree in columns and types"),
        (ValueError("Config name is missing. Please pick one among: ['en']"), "hf:NAME:CONFIG"),
        (ValueError('Unknown split "dev". Should be one of train'), "--split"),
        (FileNotFoundError("Dataset 'owner/name' doesn't exist on the Hub or cannot be accessed."), "check the name"),
        (ConnectionError("404"), "network"),
    ],
)
def test_what_datasets_raises_comes_with_the_right_advice(monkeypatch, error, advice):
    """A schema that differs between files was blamed on the network."""
    import datasets

    def refuse(*_args, **_kwargs):
        raise error

    monkeypatch.setattr(datasets, "load_dataset", refuse)
    with pytest.raises(CorpusError, match=advice) as refused:
        read("hf:owner/name")
    assert (advice == "network") == ("network" in str(refused.value))


def test_what_only_looks_like_a_dataset_of_the_hub_is_said_before_the_hub_is_asked(tmp_path):
    """The hub would say that a path is not a repository; a hub name without hf: is not a path either."""
    for name, said in [
        ("hf:./nowhere/data", "the folder nowhere does not exist"),
        (f"hf:{write_jsonl(tmp_path / 'c.jsonl', ROWS)}", "without hf:"),
        ("allenai/c4", "write --corpus hf:allenai/c4"),
    ]:
        with pytest.raises(CorpusError, match=said):
            parse_corpus(name, ("text",))
