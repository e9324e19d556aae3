"""Kills and races from outside, with real processes: whatever the moment, the cache is in the end the unbroken one."""

import os
import random
import signal
import time

import pytest

from support.faults import DIED
from support.fork_server import differences, whole_or_absent

KILLS = 100
MANY = {"examples": 24, "shard_examples": 1}
RACE = {"examples": 9, "segments_per_folder": 2}
"""Several folders of segments, so that one run may be ahead of the other within one stage."""


def shards(cache):
    return len(list(cache.glob("shards/[!.]*")))


def publishing(cache):
    """Whether a shard is being written, or was when its writer died."""
    return any(path.suffix != ".lock" for path in cache.glob("shards/.staging-*"))


def kill_somewhere(server, cache, chance):
    """Go on with a dump and kill it some shards and some milliseconds later; None when it was finished before that."""
    begun = shards(cache)
    wanted, delay = begun + chance.randint(0, 3), chance.uniform(0, 0.15)
    started = server.start(cache, settings=MANY)
    while not server.finished(started) and (shards(cache) < wanted or not publishing(cache)):
        time.sleep(0.001)
    time.sleep(delay)
    if not server.finished(started):
        os.kill(started[0], signal.SIGKILL)
    status, report = server.wait(started)
    if status == -signal.SIGKILL:
        return publishing(cache)
    assert (status, report["complaints"]) == (0, [])
    return None


@pytest.mark.slow
def test_a_hundred_kills_leave_the_cache_that_none_would_have_left(server, tmp_path):
    """What a cheap machine that is taken away at any moment must not cost: a wrong byte, or the work of a day."""
    chance = random.Random(0)
    unbroken = tmp_path / "unbroken"
    assert server.run(unbroken, settings=MANY)[0] == 0
    killed = while_publishing = completed = 0
    cache = tmp_path / "0"
    while killed < KILLS:
        hit = kill_somewhere(server, cache, chance)
        assert whole_or_absent(cache, unbroken) == []
        if hit is None:
            assert differences(cache, unbroken) == []
            completed += 1
            cache = tmp_path / str(completed)
        else:
            killed, while_publishing = killed + 1, while_publishing + hit
    assert server.run(cache, settings=MANY)[0] == 0
    assert differences(cache, unbroken) == []
    assert while_publishing >= 20
    print(f"{killed} kills, {while_publishing} of them while a shard was published, {completed + 1} caches completed")


def race(server, cache, unbroken, delay):
    """Two runs of one dump, the second so many seconds after the first; both must end well, with the unbroken cache."""
    at = time.time() + 0.3
    settings = {"settings": {"examples": RACE["examples"]}, "segments_per_folder": RACE["segments_per_folder"]}
    both = [server.start(cache, not_before=at + late, **settings) for late in (0.0, delay)]
    for status, report in [server.wait(started) for started in both]:
        assert (status, report["complaints"]) == (0, []), delay
    assert differences(cache, unbroken) == [], delay


@pytest.fixture(scope="module")
def raced(server, tmp_path_factory):
    """What one run alone makes of the dump that is raced."""
    cache = tmp_path_factory.mktemp("raced") / "cache"
    settings = {"settings": {"examples": RACE["examples"]}, "segments_per_folder": RACE["segments_per_folder"]}
    assert server.run(cache, **settings)[0] == 0
    return cache


def test_two_runs_of_one_dump_at_once_both_end_well(server, raced, tmp_path):
    """A job started twice by mistake, or again before the first has died, must harm nothing."""
    for number, delay in enumerate((0.0, 0.01, 0.3)):
        race(server, tmp_path / str(number), raced, delay)


def leave_another_plan(server, unbroken, cache):
    """A cache in which a run with another seed died when it had published no more than its plan, and written its options."""
    first = next(number for number, line in enumerate(unbroken[1]) if line.startswith("mkdir segments"))
    assert server.run(cache, settings={"seed": 1}, fault=("die", first))[0] == DIED
    assert sorted(path.name for path in cache.glob("[!.]*")) == ["dump.yaml", "plan"]


def test_two_runs_that_replace_an_unkept_plan_at_once_both_end_well(server, unbroken, raced, tmp_path):
    """The second to look may take the first one's new plan for the old one, and throw it away."""
    for number, delay in enumerate((0.0, 0.003)):
        leave_another_plan(server, unbroken, tmp_path / str(number))
        race(server, tmp_path / str(number), raced, delay)


@pytest.mark.slow
def test_two_runs_of_one_dump_at_many_distances(server, unbroken, raced, tmp_path):
    """The same, each stage of one run meeting each stage of the other."""
    chance = random.Random(0)
    for number in range(40):
        cache = tmp_path / str(number)
        if number % 4 == 0:
            leave_another_plan(server, unbroken, cache)
        race(server, cache, raced, chance.choice((0.0, chance.uniform(0, 0.02), chance.uniform(0, 1.5))))
