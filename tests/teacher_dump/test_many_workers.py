"""Many workers on one cache: in whatever way they share it, it is the bytes that one process writes."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import pytest
import torch

import miniend
from miniend.errors import CacheMismatchError, ConfigurationError
from miniend.runtime.claims import Claims
from miniend.runtime.options import flag_of
from miniend.storage.layout import ShardRange
from miniend.teacher_dump.config import DumpConfig
from miniend.teacher_dump.dump import PREPARATION, dump_teacher
from miniend.teacher_dump.plan import default_threads
from miniend.teacher_dump.shards.encoder import EncodedShard, Timings
from miniend.teacher_dump.shards.loop import is_published, make_shards
from miniend.teacher_dump.worker import Worker
from support.fork_server import differences
from support.tiny_t5 import build_tiny_t5, tiny_texts, write_texts
from support.tiny_tokenizer import build_tiny_tokenizer

SETTINGS = {
    "examples": 20,
    "validation_examples": 4,
    "calibration_examples": 8,
    "input_length": 32,
    "shard_examples": 2,
    "batch_size": 2,
    "device": "cpu",
    "threads": 1,
}
"""A table of 12 shards, the first two of validation."""
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
TIMEOUT = 240


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    """One teacher and one corpus, which the processes read."""
    root = tmp_path_factory.mktemp("workers")
    texts = tiny_texts(160, words=30)
    tokenizer = build_tiny_tokenizer(texts, 220, sentinels=16)
    corpus = write_texts(root / "corpus.jsonl", texts)
    return SimpleNamespace(root=root, corpus=corpus, teacher=build_tiny_t5(root / "teacher", tokenizer, layers=(1, 1)))


@pytest.fixture(scope="module")
def alone(material):
    """The cache of one process that nobody disturbs."""
    return dump(material, material.root / "alone").cache


def options(material, cache, **settings):
    return {"teacher": str(material.teacher), "corpus": str(material.corpus), "cache": cache, **SETTINGS, **settings}


def dump(material, cache, **settings):
    """In this process."""
    said = []
    report = dump_teacher(DumpConfig(**options(material, cache, **settings)), log=said.append)
    return SimpleNamespace(cache=cache, said="\n".join(said), report=report)


def flags(material, cache, **settings):
    """The same options, as the command line takes them."""
    given = {name: value for name, value in options(material, cache, **settings).items() if value is not None}
    return [f"{flag_of(DumpConfig, name)}={value}" for name, value in given.items()]


def start(material, cache, *, torchrun=False, omp_threads=1, **settings):
    """The command as a shell starts it, in a group of processes of its own."""
    launcher = [sys.executable, *(TORCHRUN if torchrun else ())]
    return subprocess.Popen(
        [*launcher, "-m", "miniend", "dump-teacher", *flags(material, cache, **settings)],
        env={**os.environ, "OMP_NUM_THREADS": str(omp_threads), "CUDA_VISIBLE_DEVICES": ""},
        cwd=material.root,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def end(process):
    """Wait for it, and end all of its group where it hangs."""
    try:
        out, err = process.communicate(timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    return SimpleNamespace(status=process.returncode, out=out, err=err)


def finish(*processes):
    ended = [end(process) for process in processes]
    assert [one.status for one in ended] == [0] * len(ended), [one.err for one in ended]
    return ended


def contents(root):
    """Every file by its path: bytes; claims and staging folders included."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name != "dump.yaml"
    }


def test_two_ranks_write_what_one_process_writes(material, alone, commands, tmp_path):
    """Which rank makes which shard depends on the clock."""
    ranks = commands.ranks(2, "dump-teacher", *flags(material, tmp_path / "cache"))
    said = [rank.communicate()[0] for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0, 0], [rank.written() for rank in ranks]
    assert contents(tmp_path / "cache") == contents(alone)
    assert [out.count("teacher: hard-label") for out in said] == [1, 0], "only the first rank speaks"
    assert "24 examples (validation included)" in said[0]  # dumped, or by the other before the first one looked


@pytest.mark.slow
def test_two_ranks_of_torchrun_write_what_one_process_writes(material, alone, tmp_path):
    """torchrun sets more than the ranks, and watches over them."""
    (ended,) = finish(start(material, tmp_path / "cache", torchrun=True))
    assert contents(tmp_path / "cache") == contents(alone)
    assert ended.out.count("teacher: hard-label") == 1, "only the first rank speaks"


def test_two_processes_for_two_halves_at_the_same_moment_both_succeed(server, unbroken, tmp_path):
    """Each finds no plan, and one of them comes second with its own."""
    at = time.time() + 0.3
    both = [server.start(tmp_path / "cache", not_before=at, settings={"shards": part}) for part in (":1", "1:")]
    for status, report in [server.wait(one) for one in both]:
        assert (status, report["complaints"]) == (0, [])
    assert differences(tmp_path / "cache", unbroken[0]) == []


@pytest.mark.slow
def test_two_commands_for_two_halves_at_the_same_moment_both_succeed(material, alone, tmp_path):
    """The same from two shells, each of which says what it dumped."""
    ended = finish(*(start(material, tmp_path / "cache", shards=part) for part in (":4", "4:")))
    assert contents(tmp_path / "cache") == contents(alone)
    assert "dumped 8 of 8 examples" in ended[0].out
    assert "dumped 16 of 16 examples" in ended[1].out


@pytest.mark.slow
def test_the_bytes_do_not_depend_on_the_threads_that_a_launcher_exports(material, tmp_path):
    """torchrun exports OMP_NUM_THREADS=1, a shell nothing or anything; sums may differ with the number of threads."""
    few = {"examples": 8, "validation_examples": 2, "threads": None}
    finish(start(material, tmp_path / "torchrun", torchrun=True, **few))
    finish(start(material, tmp_path / "alone", omp_threads=3, **few))
    assert contents(tmp_path / "alone") == contents(tmp_path / "torchrun")


@pytest.mark.slow
def test_identical_commands_at_the_same_moment_share_the_work(material, alone, tmp_path):
    """A user who starts the same job in two terminals wants it done sooner, not twice."""
    finish(*(start(material, tmp_path / "cache") for _ in range(3)))
    assert contents(tmp_path / "cache") == contents(alone)


@pytest.mark.slow
def test_ranks_of_which_one_is_killed_leave_a_cache_that_the_next_run_completes(material, alone, tmp_path):
    """What the dead rank had claimed or half written must be made again, to the same bytes."""
    for attempt in range(5):  # the other rank may be done before torchrun ends it
        cache = tmp_path / f"cache-{attempt}"
        process = start(material, cache, torchrun=True)
        killed = kill_a_writer(process, cache)
        ended = end(process)
        assert killed, ended.err
        assert ended.status != 0
        if len(list((cache / "shards").glob("*/marker.json"))) < 12:
            break
    else:
        pytest.fail("the other rank always made all shards")
    finish(start(material, cache, torchrun=True))
    assert contents(cache) == contents(alone)


def kill_a_writer(process, cache):
    """SIGKILL to the rank that is seen writing a training shard; its staging folder carries its number."""
    deadline = time.monotonic() + TIMEOUT
    while process.poll() is None and time.monotonic() < deadline:
        for folder in (cache / "shards").glob(".staging-train-*-*-*"):
            if not folder.name.endswith(".lock"):
                os.kill(int(folder.name.split("-")[-2]), signal.SIGKILL)
                return True
        time.sleep(0.001)
    return False


@pytest.mark.slow
def test_ranks_whose_corpus_is_too_short_all_end_with_the_reason(material, tmp_path):
    """A rank that waits for a preparation that failed would hold the job until its time is up."""
    ended = end(start(material, tmp_path / "cache", torchrun=True, examples=10_000))
    assert ended.status != 0
    assert "the corpus is too short: " in ended.err
    assert not list((tmp_path / "cache").glob(".claim-*"))


@pytest.mark.slow
def test_ranks_without_torchruns_supervision_survive_the_death_of_the_one_that_prepares(material, alone, tmp_path):
    """Under other launchers nobody ends the rest: the next in line prepares, and the dead one's shards are shared out."""
    cache = tmp_path / "cache"
    first = start(material, cache)
    deadline = time.monotonic() + TIMEOUT
    while not (cache / f".claim-{PREPARATION}.lock").exists() and time.monotonic() < deadline:
        time.sleep(0.001)
    second = start(material, cache)
    first.send_signal(signal.SIGKILL)
    assert end(first).status == -signal.SIGKILL
    finish(second)
    assert contents(cache) == contents(alone)


def test_a_worker_waits_for_the_one_that_prepares_and_says_so(material, alone, tmp_path):
    """Two that fit the same bases at once would cost twice as much and read the corpus twice."""
    with Claims(tmp_path / "cache") as other:
        other.take(PREPARATION)
        timer = threading.Timer(1.0, other.release, [PREPARATION])
        timer.start()
        found = dump(material, tmp_path / "cache")
        timer.join()
    assert found.said.startswith(f"waiting for another worker to prepare {tmp_path / 'cache'}")
    assert contents(tmp_path / "cache") == contents(alone)


def test_a_shard_that_another_worker_holds_is_left_to_it_and_made_when_it_gives_up(material, alone, tmp_path):
    """Ending early would report a cache as done while a worker that may die is still at it."""
    with Claims(tmp_path / "cache") as other:
        other.take("train-000003")
        timer = threading.Timer(3.0, other.release, ["train-000003"])
        timer.start()
        dump(material, tmp_path / "cache")
        assert not timer.is_alive()
        timer.join()
    assert contents(tmp_path / "cache") == contents(alone)


def test_two_workers_at_once_encode_each_shard_once(tmp_path):
    """Exclusive publishing would hide that all the work was done twice."""
    encoded = []

    def encode(shard, _done):
        encoded.append(shard)
        time.sleep(0.01)
        return EncodedShard({}, SimpleNamespace(body=lambda: {"number": shard.number}))

    shards = [ShardRange("train", number, number, number + 1) for number in range(30)]
    encoder = SimpleNamespace(encode=encode, timings=Timings())
    own = []

    def work():
        with Claims(tmp_path) as claims:
            own.append(make_shards(tmp_path, "zstd", shards, encoder, claims, lambda: None))
        assert all(is_published(tmp_path, shard) for shard in shards)

    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(shard.number for shard in encoded) == list(range(30))
    assert (sum(own), len(own)) == (30, 3)


def test_halves_dumped_in_two_places_are_one_cache_once_they_lie_together(material, alone, tmp_path):
    """Merging is nothing but being there."""
    caches = [tmp_path / "one", tmp_path / "other"]
    first = dump(material, caches[0], shards="0:7")
    assert "5 of 12 shards are still missing: --shards 7:12" in first.said
    for name in ("plan", "extents", "calibration", "segments"):
        shutil.copytree(caches[0] / name, caches[1] / name)
    dump(material, caches[1], shards="7:")
    assert len(list((caches[1] / "shards").iterdir())) == 5
    shutil.copytree(caches[1] / "shards", caches[0] / "shards", dirs_exist_ok=True)
    assert contents(caches[0]) == contents(alone)
    assert miniend.open_cache(caches[0]).complete


def test_a_part_says_what_it_is_and_what_is_missing(material, tmp_path):
    """Whoever started nine parts of ten must see which one to start yet, in the form in which to start it."""
    assert "10 of 12 shards are still missing: --shards 0:3,5:12" in dump(material, tmp_path / "c", shards="3:5").said
    again = dump(material, tmp_path / "c", shards="3:5")
    assert f"shards 3:5 of {tmp_path / 'c'} are complete: all 4 examples" in again.said
    assert again.report.new_examples == 0
    last = dump(material, tmp_path / "c", shards="0:3,5:12")
    assert "dumped 20 of 20 examples" in last.said
    assert "; the cache is complete" in last.said


def test_shards_outside_of_the_table_are_refused_before_the_corpus_is_read(material, tmp_path):
    """An index beyond the end in a job array must not cost a pass over the corpus first."""
    with pytest.raises(ConfigurationError, match="the table has 12 shards, 0:12"):
        dump(material, tmp_path / "cache", shards="10:13")
    assert not (tmp_path / "cache" / "segments").exists()
    with pytest.raises(ConfigurationError, match="A:B"):
        DumpConfig(**options(material, tmp_path / "cache", shards="3"))


@pytest.mark.parametrize("now", [1, 3])
def test_the_threads_of_a_new_plan_do_not_depend_on_those_of_the_process(material, tmp_path, now):
    """torchrun exports OMP_NUM_THREADS=1, a shell nothing; two plans of two counts would be two caches."""
    torch.set_num_threads(now)
    few = {"examples": 4, "calibration_examples": 3, "validation_examples": 0}
    dump(material, tmp_path / "cache", threads=None, **few)
    document = json.loads((tmp_path / "cache" / "plan" / "plan.json").read_text())
    assert document["environment"]["threads"] == default_threads() == torch.get_num_threads()


def test_the_threads_of_the_plan_are_taken_over_and_others_are_refused_by_name(material, alone):
    """They may change the last bits; whoever asks for others in so many words should hear of it."""
    torch.set_num_threads(3)
    dump(material, alone, threads=None)
    assert torch.get_num_threads() == 1
    with pytest.raises(CacheMismatchError, match="threads: there 1, now 2"):
        dump(material, alone, threads=2)


def test_ranks_begin_in_different_places_and_cover_everything():
    """Workers that cannot see each other's claims should at least not begin with the same shard."""
    orders = [Worker(rank, 3).in_order(range(10)) for rank in range(3)]
    assert [order[0] for order in orders] == [0, 3, 6]
    assert all(sorted(order) == list(range(10)) for order in orders)
    assert Worker(4, 5).in_order([7]) == [7]
    assert Worker(1, 2).in_order([]) == []


def test_the_rank_is_read_from_the_environment(monkeypatch):
    """A rank that takes itself for the first would speak, and a wrong count would leave its own part to the others."""
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    assert Worker.from_environment() == Worker(0, 1, None)
    assert Worker.from_environment().leads
    for name, value in (("RANK", "3"), ("WORLD_SIZE", "4"), ("LOCAL_RANK", "1")):
        monkeypatch.setenv(name, value)
    assert Worker.from_environment() == Worker(3, 4, 1)
    assert not Worker.from_environment().leads
    monkeypatch.setenv("RANK", "4")
    with pytest.raises(ConfigurationError, match="RANK=4, WORLD_SIZE=4; expected whole numbers"):
        Worker.from_environment()
    monkeypatch.setenv("RANK", "first")
    with pytest.raises(ConfigurationError, match="whole numbers"):
        Worker.from_environment()


def test_each_rank_takes_its_own_gpu(monkeypatch):
    """All on the first would be as slow as one, if they fit at all."""
    chosen = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    worker = Worker(3, 4, 1)
    assert worker.device("auto") == worker.device("cuda") == torch.device("cuda:1")
    assert chosen == [torch.device("cuda:1")] * 2
    assert worker.device("cuda:0") == torch.device("cuda:0")
    assert worker.device("cpu") == torch.device("cpu")
    assert Worker().device("cuda") == torch.device("cuda")
    with pytest.raises(ConfigurationError, match="PyTorch sees 2 CUDA devices"):
        Worker(3, 4, 3).device("auto")
