"""A cache in an object store, end to end: dumped, resumed, opened, inspected and trained from."""

import os
import shutil
import signal
import threading
from itertools import count

import pytest

import miniend
from miniend.errors import CacheMismatchError, CacheUnfinishedError, ConfigurationError, CorpusError, ObjectStoreError
from miniend.recipes.inspect.inspection import inspect_cache
from miniend.runtime.stopping import Terminated, stoppable
from miniend.storage.layout import plan_path
from miniend.storage.stores import requests
from miniend.storage.stores.bucket import Bucket, open_bucket
from miniend.storage.stores.place import place_of
from miniend.student_train import train
from miniend.student_train.config import TrainConfig
from miniend.student_train.train import train_student
from miniend.teacher_dump.config import DumpConfig
from miniend.teacher_dump.dump import dump_teacher
from support.bad_network import bad_network, nth
from support.object_store import use
from support.tiny_cache import build_tiny_cache


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A local cache, beside its teacher and corpus."""
    folder = tmp_path_factory.mktemp("home")
    build_tiny_cache(folder)
    return folder


def dump_to(bucket, home, **overrides):
    from support.tiny_cache import DUMP

    settings = DUMP | {"corpus": str(home / "corpus.jsonl"), "cache": f"{bucket.url}/caches/tiny"} | overrides
    said = []
    dump_teacher(DumpConfig(teacher=str(home / "teacher"), **settings), log=said.append)
    return said


def copy_to(bucket, home):
    """The local cache's files, as objects."""
    for path in (home / "cache").rglob("*"):
        if path.is_file():
            bucket.write(f"caches/tiny/{path.relative_to(home / 'cache').as_posix()}", path.read_bytes())
    return f"{bucket.url}/caches/tiny"


def files_of(home):
    cache = home / "cache"
    return {
        f"caches/tiny/{path.relative_to(cache).as_posix()}": path.read_bytes()
        for path in cache.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def fetched(monkeypatch):
    """The keys that are asked for, in order."""
    keys, get = [], Bucket.get

    def noting(self, key, most=None):
        keys.append(key)
        return get(self, key, most)

    monkeypatch.setattr(Bucket, "get", noting)
    return keys


def test_a_dump_to_a_store_is_byte_identical_to_a_local_one_and_idempotent(bucket, home, fetched):
    """And nothing of its own shards is downloaded again."""
    dump_to(bucket, home)
    assert bucket.contents() == files_of(home)
    assert not [key for key in fetched if "/shards/" in key]
    assert "already there" in " ".join(dump_to(bucket, home))
    assert bucket.contents() == files_of(home)
    assert miniend.open_cache(f"{bucket.url}/caches/tiny").digest == miniend.open_cache(home / "cache").digest


def test_an_interrupted_dump_is_refused_and_completed_by_the_next_from_an_empty_mirror(bucket, home, tmp_path):
    """The other machine knows nothing but the store."""
    url = copy_to(bucket, home)
    bucket.remove("caches/tiny/shards/train-000001/marker.json")
    bucket.write("caches/tiny/shards/train-000001/inputs.ids/c/0", b"of a dead writer")
    bucket.remove("caches/tiny/calibration/calibration.json")
    with pytest.raises(CacheUnfinishedError, match="does not have a calibration"):
        miniend.open_cache(url)
    bucket.write("caches/tiny/calibration/calibration.json", files_of(home)["caches/tiny/calibration/calibration.json"])
    with pytest.raises(CacheUnfinishedError, match="3 of 4 shards"):
        miniend.open_cache(url)
    assert len(miniend.open_cache(url, allow_unfinished=True)) == 14
    dump_to(bucket, home)
    assert bucket.contents() == files_of(home)


def test_opening_fetches_documents_and_training_the_columns_of_its_objective(bucket, home, tmp_path, fetched):
    """Most of a cache is relations: a student of logits must not download them."""
    url = copy_to(bucket, home)
    cache = miniend.open_cache(url)
    assert {key.rpartition("/")[2] for key in fetched if "/calibration/" not in key} == {
        "plan.json",
        "extent.json",
        "marker.json",
    }
    assert len(fetched) == len(set(fetched))
    config = TrainConfig(
        cache=url,
        output=tmp_path / "student",
        size="1L32H",
        objective="logits",
        steps=3,
        batch_size=8,
        eval_every=3,
        save_every=3,
        device="cpu",
    )
    train_student(config, log=lambda _line: None)
    used = {key.split("/")[4] for key in fetched if "/shards/" in key} - {"marker.json"}
    assert used == {f"{name}.{part}" for name in ("inputs", "targets") for part in ("ids", "offsets")} | {
        "logits.head.sizes",
        "logits.head.codes",
        "logits.head.levels",
    }
    fetched.clear()
    local = miniend.open_cache(home / "cache")
    assert cache[3].labels.tolist() == local[3].labels.tolist()
    assert (cache[3].relations["encoder.self"].query == local[3].relations["encoder.self"].query).all()
    assert inspect_cache(url) == inspect_cache(home / "cache")


def test_a_second_opening_asks_only_for_what_the_mirror_cannot_vouch_for(bucket, home, fetched):
    """Ten thousand markers are not fetched at every start; the plan and the calibration are, they name the cache."""
    url = copy_to(bucket, home)
    miniend.open_cache(url)
    fetched.clear()
    miniend.open_cache(url)
    assert not [key for key in fetched if "/shards/" in key]
    assert f"caches/tiny/{plan_path('x').name}/plan.json" in fetched


def test_a_mirror_of_an_earlier_cache_at_the_same_url_is_seen_through(bucket, home, tmp_path):
    """Someone dumps another cache to the URL from another machine."""
    url = copy_to(bucket, home)
    miniend.open_cache(url)
    mirror = place_of(url).local
    shutil.move(mirror, tmp_path / "stale")
    for key in bucket.contents():
        bucket.remove(key)
    dump_to(bucket, home, seed=1)
    shutil.rmtree(mirror)
    shutil.move(tmp_path / "stale", mirror)
    (mirror / "shards" / "train-000009").mkdir()
    (mirror / "shards" / "train-000009" / "marker.json").touch()
    other = miniend.open_cache(url)
    assert not (mirror / "shards" / "train-000009").exists()
    assert other.plan.seed == 1
    assert other[0].labels.tolist() != miniend.open_cache(home / "cache")[0].labels.tolist()
    assert "already there" in " ".join(dump_to(bucket, home, seed=1))


def test_other_settings_are_refused_and_another_plan_is_never_discarded(bucket, home):
    """Even one that promised nothing: its worker may be alive on another machine. A dead writer's remains are no strangers."""
    bucket.write("caches/tiny/plan/tokenizer/old", b"of a dead writer")
    with pytest.raises(CorpusError, match=r"too short.*name another --cache, or remove s3://"):
        dump_to(bucket, home, examples=100_000)
    before = bucket.contents()
    assert not [key for key in before if key.endswith("/old")]
    with pytest.raises(CacheMismatchError, match="--input-length: there 32, now 24"):
        dump_to(bucket, home, input_length=24)
    assert bucket.contents() == before
    bucket.write("strange/file", b"")
    with pytest.raises(CacheMismatchError, match="does not hold a cache but other files"):
        dump_to(bucket, home, cache=f"{bucket.url}/strange")


def test_a_wrong_bucket_or_an_empty_one_is_told_in_one_line(bucket):
    """The two commonest mistakes."""
    with pytest.raises(ConfigurationError, match="s3://no-such-bucket does not exist"):
        miniend.open_cache("s3://no-such-bucket/cache")
    with pytest.raises(CacheMismatchError, match=f"{bucket.url}/x is not a MiniEnD cache"):
        miniend.open_cache(f"{bucket.url}/x")


@pytest.mark.parametrize(("fault", "error"), [("hang", Terminated), ("reset before", ObjectStoreError)])
def test_a_training_that_its_store_leaves_alone_saves_a_checkpoint_first(
    bucket, home, s3_endpoint, monkeypatch, tmp_path, handlers, fault, error
):
    """A store that hangs when the signal comes, or that is gone for good, must not cost the steps since the last checkpoint."""
    monkeypatch.setattr(requests, "PAUSES", ())
    following, taken = train._next, count()

    def needs_the_store(*arguments):
        if next(taken) == 3:
            network.decide = nth(fault, range(1000))
            threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGTERM)).start() if fault == "hang" else None
            open_bucket("s3", bucket.name).get("a column", 9)
        return following(*arguments)

    monkeypatch.setattr(train, "_next", needs_the_store)
    settings = {"objective": "logits", "size": "1L32H", "steps": 9, "batch_size": 4, "eval_every": 9, "device": "cpu"}
    config = TrainConfig(cache=home / "cache", output=tmp_path / "student", **settings)
    with bad_network(s3_endpoint) as network:
        use(monkeypatch, network.url, tmp_path / "mirror")
        with pytest.raises(error), stoppable():
            train_student(config, log=lambda _line: None)
    assert [path.name for path in (tmp_path / "student" / "checkpoints").iterdir()] == ["step-00000003"]
