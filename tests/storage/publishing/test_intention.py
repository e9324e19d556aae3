"""Writers of other bytes into one folder of a store: one publishes, whatever the network delays, and nothing is mixed."""

import random
import threading

import numpy as np
import pytest

from miniend.errors import CacheMismatchError
from miniend.storage.columns.columns import Column
from miniend.storage.folder import PublishedFolder, publish_folder
from miniend.storage.publishing import intention as intention_module
from miniend.storage.publishing.intention import Intention
from miniend.storage.publishing.upload import _Upload
from miniend.storage.stores.bucket import open_bucket
from miniend.storage.stores.place import Place
from support.bad_network import bad_network, delayed
from support.object_store import use

WRITERS = 3


@pytest.fixture
def network(bucket, s3_endpoint, monkeypatch, tmp_path):
    monkeypatch.setattr(intention_module, "POLL_SECONDS", 0.02)
    with bad_network(s3_endpoint) as bad:
        use(monkeypatch, bad.url, tmp_path / "mirror")
        yield bad


def publish(where, number):
    """A folder whose files have the same names for every number, and other bytes; one stranger's name for each."""
    columns = {"a": Column(values=np.arange(50) * (number + 1), axis="input")}
    return publish_folder(where, "marker", {"number": number}, columns, {"note": b"%d" % number, f"own-{number}": b"x"})


def race(bucket, key, folder, numbers):
    """Each writer as if it were on a machine of its own; what came of each: a digest or an error."""
    ended, barrier = {}, threading.Barrier(len(numbers))

    def write(machine, number):
        place = Place(folder / str(machine) / "f", open_bucket("s3", bucket.name), key)
        barrier.wait()
        try:
            ended[machine] = publish(place, number)
        except CacheMismatchError as error:
            ended[machine] = error

    threads = [threading.Thread(target=write, args=one) for one in enumerate(numbers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return ended


def race_often(bucket, network, tmp_path, rounds, longest):
    expected = [publish(tmp_path / f"local-{number}", number) for number in range(WRITERS)]
    chance = random.Random(0)
    for round_ in range(rounds):
        seconds = chance.uniform(0, longest)
        network.decide = delayed(lambda seconds=seconds: random.uniform(0, seconds), "PUT|POST")
        key = f"{round_}/f"
        numbers = [chance.randrange(WRITERS) for _ in range(WRITERS)]
        ended = race(bucket, key, tmp_path / key, numbers)
        network.decide = lambda _line: None
        digests = {one for one in ended.values() if isinstance(one, str)}
        assert len(digests) == 1, f"round {round_}: {ended}"
        (winner,) = digests
        for machine, one in ended.items():
            assert (one == winner) == (expected[numbers[machine]] == winner), f"round {round_}: {numbers}, {ended}"
            assert one == winner or "holds something else" in str(one)
        folder = PublishedFolder(
            Place(tmp_path / key / "reader", open_bucket("s3", bucket.name), key), "marker", fresh=True
        )
        assert (folder.digest, folder.verify()) == (winner, []), f"round {round_}"
        assert not [name for name in bucket.contents(str(round_)) if ".begun" in name], f"round {round_}"
    print(f"{rounds} races of {WRITERS} writers")


def test_of_writers_of_other_bytes_one_publishes_and_nothing_is_mixed(bucket, network, tmp_path):
    """The later one overwrote data objects under the document of the first."""
    race_often(bucket, network, tmp_path, 8, 0.04)


@pytest.mark.slow
def test_of_writers_of_other_bytes_one_publishes_at_any_delay(bucket, network, tmp_path):
    """The same, often, with delays up to those of a bad network."""
    race_often(bucket, network, tmp_path, 150, 0.6)


def test_a_writer_that_died_with_other_bytes_is_overtaken_after_a_while(bucket, network, tmp_path, monkeypatch, capfd):
    """Its intention would keep everybody else away for ever; that of the same bytes keeps nobody waiting."""
    store = open_bucket("s3", bucket.name)
    dead = Place(tmp_path / "dead" / "f", store, "x/f")
    bucket.write("x/.begun/f/0", b"the document of a dead writer")
    bucket.write("x/f/note", b"of a dead writer")
    monkeypatch.setattr(intention_module, "longest_silence", lambda _size: 0.3)
    publish(dead, 1)
    assert {name.partition("/")[2] for name in bucket.contents("x") if ".begun" in name} == set()
    assert PublishedFolder(dead, "marker", fresh=True).verify() == []
    said = capfd.readouterr().err.splitlines()
    assert [line.partition(": ")[2] for line in said] == [
        "another worker is publishing it; waiting for that",
        "the other worker has done nothing for 0 s; going on without it",
    ]


def test_a_writer_that_comes_while_another_publishes_leaves_nothing(bucket, network, tmp_path, monkeypatch):
    """It looked, the other published and took its intention away, and then it declared its own."""
    store, look, begun = open_bucket("s3", bucket.name), Intention._is_published, []
    first, second = (Place(tmp_path / name / "f", store, "x/f") for name in "ab")

    def looked(self):
        found = look(self)
        if not begun:
            begun.append(self)
            publish(second, 2)
        return found

    monkeypatch.setattr(Intention, "_is_published", looked)
    with pytest.raises(CacheMismatchError, match="holds something else"):
        publish(first, 1)
    assert PublishedFolder(second, "marker", fresh=True).verify() == []


def test_a_writer_that_was_overtaken_waits_for_the_other(bucket, network, tmp_path, monkeypatch, capfd):
    """It was silent for so long that the other went on without it, and has put the same object."""
    put, overtaken = _Upload.put_data, []

    def slowly(self, document):
        done = put(self, document)
        if not overtaken:
            overtaken.append(self)
            bucket.write("x/.begun/f/1", b"the document of the other writer")
            bucket.write("x/f/note", b"of the other writer")
        return done

    monkeypatch.setattr(_Upload, "put_data", slowly)
    monkeypatch.setattr(intention_module, "longest_silence", lambda _size: 0.3)
    place = Place(tmp_path / "mine" / "f", open_bucket("s3", bucket.name), "x/f")
    publish(place, 1)
    assert "another worker is publishing it; waiting for that" in capfd.readouterr().err
    assert PublishedFolder(place, "marker", fresh=True).verify() == []
