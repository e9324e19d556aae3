"""The estimate: bytes by signal near those of the dump that follows, honest arithmetic, nothing left behind."""

import math
import tempfile
from collections import Counter
from types import SimpleNamespace

import pytest

from miniend.errors import CorpusError
from miniend.recipes.estimate.config import EstimateConfig
from miniend.recipes.estimate.estimate import describe, estimate
from miniend.runtime.options import completed
from miniend.storage.folder import PublishedFolder
from miniend.storage.survey import survey
from miniend.teacher_dump.config import DumpConfig
from miniend.teacher_dump.dump import dump_teacher
from miniend.teacher_dump.shards.space import folder_sizes
from support.tiny_cache import write_pairs
from support.tiny_t5 import build_tiny_t5, tiny_texts, write_texts
from support.tiny_tokenizer import build_tiny_tokenizer

SETTINGS = {
    "examples": 230,
    "validation_examples": 20,
    "calibration_examples": 40,
    "input_length": 32,
    "shard_examples": 64,
    "batch_size": 16,
    "top_k": 8,
    "device": "cpu",
    "threads": 1,
}


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    """One teacher, and its corpora of texts and of ragged pairs."""
    root = tmp_path_factory.mktemp("estimate")
    texts = tiny_texts(500, words=30)
    tokenizer = build_tiny_tokenizer(texts, 220, sentinels=16)
    return SimpleNamespace(
        root=root,
        corpus=write_texts(root / "corpus.jsonl", texts),
        pairs=write_pairs(root / "pairs.jsonl", texts),
        teacher=build_tiny_t5(root / "teacher", tokenizer, layers=(1, 1)),
    )


@pytest.fixture(autouse=True)
def scratch(tmp_path, monkeypatch):
    """Where temporary directories lie."""
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    return tmp_path / "scratch"


def config(material, cache, **settings):
    return DumpConfig(
        **{"teacher": str(material.teacher), "corpus": str(material.corpus), "cache": cache, **SETTINGS, **settings}
    )


def told(material, *, sample=None, epochs=1.0, **settings):
    dump = config(material, "never-written", **settings)
    return estimate(completed(EstimateConfig, dump, sample_examples=sample, epochs=epochs))


def found(material, cache, **settings):
    """Bytes by signal of a real dump, in the estimate's terms."""
    dump_teacher(config(material, cache, **settings), log=lambda _line: None)
    sizes = Counter()
    for name, kind in survey(cache).folders.items():
        folder = PublishedFolder(cache / name, kind)
        if kind == "marker":
            sizes.update(folder_sizes([folder]).of(folder.document["stop"] - folder.document["start"], 1))
        else:
            sizes["bases" if kind == "calibration" else "plan"] += folder.total_bytes
    return sizes | {
        "total": sum(path.stat().st_size for path in cache.rglob("*") if path.is_file() and path.name != "dump.yaml")
    }


@pytest.mark.parametrize(
    "settings",
    [
        {"logits": "hybrid"},
        {"codec": "zstd", "signals": "decoder.self"},
        {"logits": "none", "mean_noise_span_length": 1.5},
    ],
    ids=str,
)
def test_the_bytes_of_every_signal_are_those_of_the_dump(material, tmp_path, settings):
    """An estimate that is wrong by a half is worse than none: somebody orders disks by it."""
    ours, theirs = told(material, **settings).bytes, found(material, tmp_path / "cache", **settings)
    assert set(ours) == set(theirs)
    for name, size in theirs.items():
        assert ours[name] == pytest.approx(size, rel=0.1, abs=500), name


def test_ragged_pairs_are_counted_by_their_tokens(material, tmp_path):
    """A sample of long pairs would make the whole corpus long."""
    settings = {"task": "pairs", "corpus": str(material.pairs), "field": ("source", "target"), "examples": 300}
    ours, theirs = told(material, **settings).bytes, found(material, tmp_path / "cache", **settings)
    assert ours["total"] == pytest.approx(theirs["total"], rel=0.15)


def test_examples_shards_and_what_is_done_once_scale_as_they_should(material):
    """Twice the examples are twice the data, but one tokenizer and one basis; a part is the shards of that part."""
    once, twice = told(material, validation_examples=0), told(material, validation_examples=0, examples=460)
    for name in ("logits", "inputs", "encoder.self@0"):
        assert twice.bytes[name] == pytest.approx(2 * once.bytes[name], rel=0.1), name
    for name in ("plan", "bases"):
        assert twice.bytes[name] == pytest.approx(once.bytes[name], rel=0.02), name
    assert (once.examples, once.shards, twice.shards) == (230, 4, 8)
    part = told(material, shards="1:3")
    assert (part.examples, part.shards) == (128, 2)
    assert part.bytes["logits"] < 0.7 * once.bytes["logits"]


def test_the_number_of_students_is_the_division_that_is_printed(material):
    """The number that decides whether to cache at all must be one that the reader can check."""
    facts = told(material, sample=16, epochs=0.25)
    pay = facts.students_to_pay
    online = 0.25 * 230 * pay.forward_seconds_per_example
    assert (pay.dump_seconds, pay.examples, pay.epochs) == (facts.seconds["total"], 230, 0.25)
    assert pay.students == math.ceil(facts.seconds["total"] / online)
    assert facts.seconds["total"] == pytest.approx(sum(facts.seconds.values()) / 2)
    assert all(seconds > 0 for seconds in facts.seconds.values())
    last = list(describe(facts))[-1]
    assert f"students to pay: {pay.students}, because" in last
    assert last.endswith(f"= {facts.seconds['total'] / online:.2f}")
    assert told(material, sample=16, shards=":1").students_to_pay.students is None  # validation alone


def test_nothing_is_left_and_nothing_is_written_elsewhere(material, scratch, tmp_path, monkeypatch):
    """It runs where the disk may already be short."""
    monkeypatch.chdir(tmp_path)
    told(material, sample=16)
    assert list(scratch.iterdir()) == []
    with pytest.raises(CorpusError, match="too short"):
        told(material, examples=100_000)
    assert list(scratch.iterdir()) == []
    assert [path.name for path in tmp_path.iterdir()] == ["scratch"]


def test_a_corpus_that_a_dump_can_use_can_be_estimated(material, tmp_path):
    """The sample lies behind the examples of calibration, where a small corpus, gone through several times, has no more."""
    few = write_texts(tmp_path / "few.jsonl", tiny_texts(20, words=30))
    facts = told(material, corpus=str(few), examples=100, corpus_epochs=10, validation_examples=0)
    assert (facts.examples, facts.sample_examples, facts.shards) == (100, 64, 2)
    tiny = told(material, examples=5, validation_examples=0)
    assert (tiny.examples, tiny.sample_examples) == (5, 5)
