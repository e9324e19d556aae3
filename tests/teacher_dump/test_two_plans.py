"""Two real processes dump with other settings into one prefix of a store: one goes on, the other says what differs."""

import itertools
import random
import time

import pytest

from support.fork_server import contents

PREFIX = "caches/tiny"
SETTINGS = ({"seed": 0}, {"seed": 1})
_numbers = itertools.count()


@pytest.fixture(scope="module")
def alone(server, tmp_path_factory):
    """By settings, what a dump leaves that nobody disturbs."""
    folder = tmp_path_factory.mktemp("alone")
    for number, settings in enumerate(SETTINGS):
        assert server.run(folder / str(number), settings=settings)[1]["complaints"] == []
    return [contents(folder / str(number)) for number in range(len(SETTINGS))]


def race(server, bucket, endpoint, mirrors, alone, lead, first):
    """Start one process so many seconds before the other; exactly one of them dumps."""
    prefix, begin = f"{PREFIX}-{next(_numbers)}", time.time() + 0.2
    keys = {"ACCESS_KEY_ID": "key", "SECRET_ACCESS_KEY": "secret", "REGION": "us-east-1", "ENDPOINT_URL": endpoint}
    started = []
    for number, settings in enumerate(SETTINGS):
        env = {f"AWS_{name}": value for name, value in keys.items()}
        env["MINIEND_MIRROR"] = str(mirrors / f"{prefix.replace('/', '-')}-{number}")  # as on two machines
        later = begin + (0 if number == first else lead)
        job = {"env": env, "settings": settings, "not_before": later}
        started.append(server.start(f"{bucket.url}/{prefix}", **job))
    ends = [server.wait(one)[1]["complaints"] for one in started]
    winners = [number for number, complaints in enumerate(ends) if not complaints]
    assert len(winners) == 1, (lead, first, ends)
    (refused,) = ends[1 - winners[0]]
    *others, last = refused.splitlines()
    assert refused.startswith("the dump ends with 2: ")
    assert "miniend: " in last
    assert "holds another dump: --seed: there" in last
    assert all("another worker is publishing it; waiting for that" in line for line in others), refused
    found = {key.removeprefix(f"{prefix}/"): data for key, data in bucket.contents(f"{prefix}/").items()}
    assert found.keys() == alone[winners[0]].keys(), (lead, first)
    assert found == alone[winners[0]], (lead, first)


def test_of_two_dumps_with_other_settings_one_goes_on(server, bucket, s3_endpoint, tmp_path, alone):
    """Both stopped, and the prefix held the plan of one with the segments of the other."""
    race(server, bucket, s3_endpoint, tmp_path, alone, 0.0, 0)


@pytest.mark.slow
def test_of_two_dumps_with_other_settings_one_goes_on_whatever_the_moment(server, bucket, s3_endpoint, tmp_path, alone):
    """Twenty-five distances in time, either of the two first."""
    chance = random.Random(0)
    for number in range(25):
        race(server, bucket, s3_endpoint, tmp_path, alone, chance.uniform(0, 0.6), number % 2)
    print("25 races")
