"""Corpora through `datasets`, on local folders and without a network."""

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
