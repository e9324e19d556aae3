"""`miniend verify --repair`: the same bytes come back, from the plan, the teacher and the corpus; nothing else is touched."""

import shutil
from dataclasses import replace

import datasets
import pytest

from miniend import open_cache
from miniend.errors import CacheDamagedError, CacheMismatchError, ConfigurationError, MiniEndError
from miniend.recipes.repair.config import RepairConfig
from miniend.recipes.repair.repair import repair_cache
from miniend.recipes.repair.verify import verify_cache
from miniend.runtime.claims import Claims
from miniend.teacher_dump.shards.encoder import ShardEncoder
from support.damage import copy_of, document_of, files_of, flip, reseal
from support.tiny_cache import build_tiny_cache
from support.tiny_t5 import tiny_texts

SETTINGS = {
    "validation_examples": 4,
    "shard_examples": 6,
    "calibration_examples": 8,
    "relation_temperature": "calibrated",
    "signals": "encoder.self,decoder.self,decoder.cross,encoder.hidden@0",
    "seed": 3,
}
SAME = "byte-identical to what was published"


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """A cache that grew once, with settings that are not the defaults, beside its teacher and corpus."""
    root = tmp_path_factory.mktemp("repair")
    build_tiny_cache(root / "a", examples=8, **SETTINGS)
    return build_tiny_cache(root / "a", examples=14, teacher=root / "a" / "teacher", **SETTINGS)


@pytest.fixture
def cache(original, tmp_path):
    return copy_of(original, tmp_path / "cache")


@pytest.fixture
def mend(original, cache):
    """The repair of `cache`; returns what it did."""

    def run(**changed):
        here = original.parent
        settings = {
            "teacher": str(here / "teacher"),
            "corpus": (str(here / "corpus.jsonl"),),
            "device": "cpu",
            **changed,
        }
        return repair_cache(RepairConfig(cache=cache, **settings), log=lambda _line: None)

    return run


def damage(cache, name):
    """One bit in the middle of the largest file of a folder."""
    path = max((cache / name).rglob("*"), key=lambda path: path.stat().st_size if path.is_file() else -1)
    flip(path, path.stat().st_size // 2, 3)


LOST = ("last extent", "missing")
"""Nothing names it: the cache looks as if it had never grown."""
TOLD = {
    *(("shard", "missing"), ("calibration", "document"), ("segments", "missing")),
    *(("first extent", "document"), ("everything but the plan", "missing")),
}
"""Each way of each folder is repaired by the same code: every folder once, and every way with several, in `make test`."""
DAMAGES = {
    "shard": ["shards/train-000000"],
    "segments": ["segments/train-000000", "segments/validation-000000"],
    "later segments": ["segments/train-000001"],
    "calibration": ["calibration"],
    "first extent": ["extents/000000"],
    "last extent": ["extents/000001"],
    "everything but the plan": [
        *("extents/000000", "segments/train-000000", "segments/train-000001", "segments/validation-000000"),
        *(
            "calibration",
            "shards/train-000000",
            "shards/train-000001",
            "shards/train-000002",
            "shards/validation-000000",
        ),
    ],
}


@pytest.mark.parametrize(
    ("what", "how"),
    [
        pytest.param(what, how, marks=() if (what, how) in TOLD or how == "flipped" else pytest.mark.slow)
        for what in DAMAGES
        for how in ("flipped", "document", "missing")
        if (what, how) != LOST
    ],
)
def test_what_is_repaired_has_the_bytes_that_it_had(original, cache, mend, what, how):
    """A repair that gives almost the same cache would be another cache under the old students' digest."""
    names = DAMAGES[what]
    for name in names:
        if how == "missing":
            shutil.rmtree(cache / name)
        elif how == "document":
            path = next((cache / name).glob("*.json"))
            flip(path, path.read_bytes().index(b'"format"'), 0)
        else:
            damage(cache, name)
    done = mend()
    assert set(done.redone) == set(names)
    assert files_of(cache) == files_of(original)
    assert verify_cache(cache).sound
    assert open_cache(cache).digest == open_cache(original).digest
    assert done.untouched == len(verify_cache(cache).missing) + verify_cache(cache).folders - len(names)
    if how != "missing":
        assert {done.redone[name] for name in names if not name.startswith("extents/")} <= {SAME}


def test_a_lost_last_extent_orphans_its_shards_and_nothing_is_removed(cache, mend):
    """They are whole, and the extent is told by them: a new dump to the same number gives it back."""
    shutil.rmtree(cache / "extents" / "000001")
    before = files_of(cache)
    assert verify_cache(cache).unlisted == ["shards/train-000002"]
    assert mend().redone == {}
    assert files_of(cache) == before


def test_a_last_extent_without_proof_is_not_guessed(cache, mend):
    """A wrong total would cut other shards than those that are there."""
    (cache / "extents" / "000001" / "extent.json").write_text("{}")
    with pytest.raises(CacheDamagedError, match="nothing that is left proves how many examples"):
        mend()


@pytest.mark.parametrize("how", ["swapped", "copied", "foreign"])
def test_a_shard_that_took_the_place_of_another_is_replaced(original, cache, mend, how):
    """It is sound in itself: published again onto it, the old one would stay."""
    one, other = (cache / "shards" / f"train-00000{k}" for k in (0, 2))
    if how == "swapped":
        one.rename(cache / "x")
        other.rename(one)
        (cache / "x").rename(other)
    elif how == "copied":
        shutil.rmtree(one)
        shutil.copytree(other, one)
    else:
        document = document_of(cache, "shards/train-000000")
        reseal(cache, "shards/train-000000", {**document, "parent": "0" * 64})
    assert not verify_cache(cache).sound
    assert all("in its place" in verdict for verdict in mend().redone.values())
    assert files_of(cache) == files_of(original)


def test_a_damaged_plan_cannot_be_repaired_and_the_message_says_what_can_be_done(cache, mend):
    """Everything else is derived from it."""
    damage(cache, "plan")
    before = files_of(cache)
    with pytest.raises(CacheDamagedError, match="restore that folder from a copy of the cache, or dump again"):
        mend()
    shutil.rmtree(cache / "plan")
    with pytest.raises(CacheDamagedError, match="cannot be made again"):
        mend()
    assert {n: d for n, d in before.items() if not n.startswith("plan/")} == files_of(cache)


def test_another_teacher_or_corpus_is_refused_and_nothing_is_moved(original, cache, mend, tmp_path):
    """Shards of another teacher would fit in form."""
    from support.tiny_t5 import build_tiny_t5, tiny_texts, write_texts
    from support.tiny_tokenizer import build_tiny_tokenizer

    damage(cache, "shards/train-000001")
    before = files_of(cache)
    tokenizer = build_tiny_tokenizer(tiny_texts(150), 120, sentinels=10)
    with pytest.raises(CacheMismatchError, match="tensor_digest"):
        mend(teacher=str(build_tiny_t5(tmp_path / "other", tokenizer, sharpen=0.8, seed=1)))
    with pytest.raises(CacheMismatchError, match="corpus"):
        mend(corpus=(str(write_texts(tmp_path / "other.jsonl", tiny_texts(149))),))
    with pytest.raises(ConfigurationError, match="expected 1 --corpus"):
        mend(corpus=("python-docs", "python-docs"))
    with pytest.raises(ConfigurationError, match=r"needs --teacher and --corpus.*shards/train-000001"):
        mend(teacher=None)
    assert files_of(cache) == before


def test_a_sound_cache_needs_neither_teacher_nor_corpus(original, cache, mend):
    """Nothing to do is no error, and an unlisted file is removed without loading anything."""
    assert mend(teacher=None, corpus=()).redone == {}
    (cache / "shards" / "train-000000" / "notes.txt").write_text("mine")
    (cache / "plan" / "empty" / "inner").mkdir(parents=True)
    (cache / "notes.txt").write_text("mine")
    done = mend(teacher=None, corpus=())
    assert done.removed == ["shards/train-000000/notes.txt", "plan/empty/inner", "plan/empty"]
    assert {n: d for n, d in files_of(cache).items() if n != "notes.txt"} == files_of(original)
    assert verify_cache(cache).unlisted == ["notes.txt"]


def test_a_repair_that_fails_leaves_what_there_was(cache, mend, monkeypatch):
    """What is damaged may still be worth more than nothing."""
    damage(cache, "shards/train-000001")
    damage(cache, "shards/validation-000000")
    before, encode = files_of(cache), ShardEncoder.encode

    def failing(self, shard):
        if shard.split == "train":
            raise MiniEndError("no room")
        return encode(self, shard)

    monkeypatch.setattr(ShardEncoder, "encode", failing)
    with pytest.raises(MiniEndError, match="no room"):
        mend()
    assert files_of(cache) == before


def test_other_values_than_were_published_are_refused_unless_asked_for(cache, mend, monkeypatch):
    """Another machine rounds otherwise; the student's digest would tell of another cache."""
    flip(cache / "shards" / "train-000001" / "targets.ids" / "c" / "0", 20, 1)
    before, encode = files_of(cache), ShardEncoder.encode

    def other(self, shard):
        encoded = encode(self, shard)
        loss = encoded.marker.teacher_cross_entropy
        encoded.marker = replace(encoded.marker, teacher_cross_entropy=replace(loss, total=loss.total + 1e-4))
        return encoded

    monkeypatch.setattr(ShardEncoder, "encode", other)
    with pytest.raises(CacheMismatchError, match="the new values differ from the published ones"):
        mend()
    assert files_of(cache) == before
    done = mend(mixed_environment=True)
    assert "other values" in done.redone["shards/train-000001"]
    assert verify_cache(cache).sound


def test_an_interrupted_repair_is_taken_up_again(original, cache, mend):
    """The folder that was set aside when the process was killed is still there to compare with."""
    damage(cache, "shards/train-000001")
    (cache / "shards" / "train-000001").rename(cache / "shards" / ".repair-train-000001")
    report = verify_cache(cache)
    assert (report.missing, report.leftovers) == (["shards/train-000001"], ["shards/.repair-train-000001"])
    assert mend().redone == {"shards/train-000001": SAME}
    assert files_of(cache) == files_of(original)


@pytest.mark.parametrize("held", ["preparation", "train-000000"])
def test_a_repair_beside_a_dump_that_is_at_work_is_refused(cache, mend, held):
    """Both would make the same folders, and the repair would report damage that is none."""
    damage(cache, "shards/train-000001")
    before = files_of(cache)
    with Claims(cache) as dump:
        dump.take(held)
        with pytest.raises(ConfigurationError, match="a dump is running there"):
            mend()
    assert files_of(cache) == before
    mend()
    assert verify_cache(cache).sound


def test_a_split_of_a_saved_dataset_is_named_again(tmp_path):
    """The dump takes one with --split; the plan has only its files, and a repair looked for them in another split."""
    texts = tiny_texts(40, words=30)
    parts = {"train": texts[:5], "test": texts}
    saved = {name: datasets.Dataset.from_list([{"text": text} for text in part]) for name, part in parts.items()}
    datasets.DatasetDict(saved).save_to_disk(tmp_path / "saved")
    settings = {"examples": 8, "corpus": str(tmp_path / "saved"), "split": "test", **SETTINGS}
    cache = build_tiny_cache(tmp_path, **settings)
    shutil.rmtree(cache / "shards" / "train-000000")
    asked = {"cache": cache, "teacher": str(tmp_path / "teacher"), "corpus": (settings["corpus"],), "device": "cpu"}
    with pytest.raises(CacheMismatchError, match=r"corpus\.parts"):
        repair_cache(RepairConfig(**asked), log=lambda _line: None)
    assert "shards/train-000000" in repair_cache(RepairConfig(**asked, split="test"), log=lambda _line: None).redone
