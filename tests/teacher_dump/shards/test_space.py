"""The disk: a dump that would fill it does not begin its shards, and looking changes nothing of the cache."""

from types import SimpleNamespace

import pytest

from miniend.errors import MiniEndError
from miniend.storage.folder import PublishedFolder
from miniend.teacher_dump.config import DumpConfig
from miniend.teacher_dump.dump import dump_teacher
from miniend.teacher_dump.shards import space
from miniend.teacher_dump.shards.encoder import ShardEncoder
from miniend.teacher_dump.shards.space import folder_sizes, in_gb, signal_of
from support.fork_server import contents
from support.tiny_cache import build_tiny_cache
from support.tiny_t5 import build_tiny_t5, tiny_texts, write_texts
from support.tiny_tokenizer import build_tiny_tokenizer

SETTINGS = {
    "examples": 48,
    "validation_examples": 0,
    "calibration_examples": 40,
    "input_length": 32,
    "shard_examples": 8,
    "batch_size": 8,
    "top_k": 8,
    "device": "cpu",
    "threads": 1,
}
"""Six shards; eight examples are calibration's report."""


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    """One teacher and one corpus."""
    root = tmp_path_factory.mktemp("space")
    texts = tiny_texts(160, words=30)
    tokenizer = build_tiny_tokenizer(texts, 220, sentinels=16)
    corpus = write_texts(root / "corpus.jsonl", texts)
    return SimpleNamespace(root=root, corpus=corpus, teacher=build_tiny_t5(root / "teacher", tokenizer, layers=(1, 1)))


@pytest.fixture(scope="module")
def unchecked(material):
    """The bytes of a dump that did not look at the disk."""
    return contents(dump(material, material.root / "unchecked", force=True))


@pytest.fixture
def free(monkeypatch):
    """Sets the bytes that are free on every disk, and lists the folders that were asked about."""
    asked = []

    def set_free(size):
        monkeypatch.setattr(space.shutil, "disk_usage", lambda path: asked.append(path) or SimpleNamespace(free=size))
        return asked

    return set_free


@pytest.fixture
def encoded(monkeypatch):
    """The ranges that have been encoded."""
    found, encode = [], ShardEncoder.encode

    def noting(self, shard, *done):
        found.append((shard.start, shard.stop))
        return encode(self, shard, *done)

    monkeypatch.setattr(ShardEncoder, "encode", noting)
    return found


def dump(material, cache, **settings):
    config = {"teacher": str(material.teacher), "corpus": str(material.corpus), "cache": cache, **SETTINGS, **settings}
    dump_teacher(DumpConfig(**config), log=lambda _line: None)
    return cache


def shard_bytes(files):
    return sum(len(data) for name, data in files.items() if name.startswith("shards/"))


def test_a_disk_that_is_too_small_is_refused_before_the_first_shard(material, unchecked, free, tmp_path):
    """A full disk after nine hours of ten is nine hours and a disk that nobody else can use."""
    asked = free(int(0.8 * shard_bytes(unchecked)))
    with pytest.raises(
        MiniEndError, match=r"6 shards .* need about 0\.\S+ GB, .* GB free.*--shards.*--force"
    ) as refused:
        dump(material, tmp_path / "cache")
    assert "\n" not in str(refused.value)
    assert asked == [tmp_path / "cache"]
    assert not (tmp_path / "cache" / "shards").exists()
    assert (tmp_path / "cache" / "calibration").is_dir()


def test_the_estimate_is_near_enough_and_a_dump_that_was_checked_is_the_same_bytes(
    material, unchecked, free, encoded, tmp_path
):
    """A check that asks for far too much refuses dumps that fit; one that leaves a trace makes two dumps two caches."""
    free(int(1.3 * shard_bytes(unchecked)))
    assert contents(dump(material, tmp_path / "cache")) == unchecked
    assert encoded[0] == (32, 40)
    assert len(encoded) == 7


def test_force_begins_on_any_disk_and_is_no_part_of_the_plan(material, unchecked, free, encoded, tmp_path):
    """A quota, a compressing file system, or a second disk to come: the user knows better, and pays nothing for the check."""
    asked = free(0)
    assert contents(dump(material, tmp_path / "cache", force=True)) == unchecked
    assert (asked, len(encoded)) == ([], 6)
    free(10**12)
    assert contents(dump(material, tmp_path / "cache")) == unchecked


def test_a_resumed_dump_needs_room_for_what_is_missing_and_knows_it_from_what_is_there(
    material, unchecked, free, encoded, tmp_path
):
    """Counting what is published a second time would stop a dump that is nearly done; sampling again would cost for nothing."""
    cache = dump(material, tmp_path / "cache", shards=":5")
    size = sum(len(data) for name, data in unchecked.items() if name.startswith("shards/train-000005"))
    encoded.clear()
    free(int(0.8 * size))
    with pytest.raises(MiniEndError, match="the 1 shards still to write need about"):
        dump(material, cache)
    free(int(1.25 * size))
    assert contents(dump(material, cache)) == unchecked
    assert encoded == [(40, 48)]


def test_a_part_needs_room_for_that_part_alone(material, unchecked, free, tmp_path):
    """The others of the table lie on the disks of other workers."""
    free(int(0.5 * shard_bytes(unchecked)))
    dump(material, tmp_path / "cache", shards="2:4")
    assert len(list((tmp_path / "cache" / "shards").iterdir())) == 2


def test_a_complete_cache_needs_no_room(material, free, tmp_path):
    """Running a finished dump again does nothing at all, on a full disk too."""
    cache = dump(material, tmp_path / "cache", force=True)
    asked = free(0)
    dump(material, cache)
    assert asked == []


def test_the_sizes_of_folders_add_up_to_their_bytes(tmp_path):
    """What is in no signal would be missing from every estimate."""
    cache = build_tiny_cache(tmp_path)
    folders = [PublishedFolder(path, "marker") for path in sorted((cache / "shards").iterdir())]
    examples = sum(folder.document["stop"] - folder.document["start"] for folder in folders)
    found = folder_sizes(folders).of(examples, len(folders))
    assert sum(found.values()) == pytest.approx(sum(folder.total_bytes for folder in folders))
    assert found["logits"] == pytest.approx(
        sum(folder.column_bytes(name) for folder in folders for name in folder.columns if name.startswith("logits."))
    )
    longer = folder_sizes(folders, {"input": 1.0, "target": 1e6}).of(examples, len(folders))
    assert longer["logits"] > 100 * found["logits"]
    assert longer["encoder.self@1"] < found["encoder.self@1"]
    assert longer["markers"] == found["markers"]


@pytest.mark.parametrize(
    ("column", "signal"),
    [
        ("inputs.ids", "inputs"),
        ("targets.offsets", "inputs"),
        ("logits.head.sizes", "logits"),
        ("segments.ids", "segments"),
        ("hidden.encoder.hidden@6", "encoder.hidden@6"),
        ("relations.decoder.cross@11.key_value", "decoder.cross@11"),
        ("hidden.encoder.hidden@2", "encoder.hidden@2"),
    ],
)
def test_every_column_belongs_to_a_signal(column, signal):
    """A site that is counted with another is planned for in the wrong place."""
    assert signal_of(column) == signal


@pytest.mark.parametrize(("size", "text"), [(123, "1.23e-07"), (4.1e6, "0.0041"), (12.34e9, "12.3"), (1.5e12, "1,500")])
def test_sizes_are_readable(size, text):
    """Nobody counts zeros."""
    assert in_gb(size) == text
