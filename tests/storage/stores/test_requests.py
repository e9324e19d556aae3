"""A network that misbehaves: a moment's trouble is tried again and said, and a signal is heard while a store hangs."""

import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from miniend.errors import CacheDamagedError, MiniEndError, ObjectStoreError
from miniend.storage.columns.columns import Column
from miniend.storage.folder import PublishedFolder, folder_exists, publish_folder
from miniend.storage.stores import bucket as bucket_module
from miniend.storage.stores import requests
from miniend.storage.stores.bucket import Bucket
from miniend.storage.stores.place import place_of
from support.bad_network import FAULTS, bad_network, nth
from support.object_store import use

COLUMNS = {name: Column(values=np.arange(300) + k, axis="input") for k, name in enumerate(("a", "b"))}


@pytest.fixture
def network(bucket, s3_endpoint, monkeypatch, tmp_path):
    """A bad network before the bucket; waits are short."""
    monkeypatch.setattr(requests, "PAUSES", (0.05, 0.1))
    monkeypatch.setattr(requests, "SECONDS", 0.4)
    monkeypatch.setattr(bucket_module, "SECONDS", 0.4)
    with bad_network(s3_endpoint) as bad:
        use(monkeypatch, bad.url, tmp_path / "mirror")
        yield bad


def publish(bucket):
    return publish_folder(f"{bucket.url}/c/f", "marker", {"number": 0}, COLUMNS, {"note": b"0"})


def read_from_the_store(bucket):
    shutil.rmtree(place_of(f"{bucket.url}/c/f").local)  # the writer's own mirror holds all of it
    folder = PublishedFolder(f"{bucket.url}/c/f", "marker", fresh=True)
    return {name: folder.column(name).tolist() for name in COLUMNS}, folder.file("note")


def break_each(bucket, network, fault, spread):
    """Write and read with a fault at the n-th request, for every n or a spread of them."""
    fault, of = (
        ("cut off", "list-type") if fault == "truncated list" else (fault, "GET .*/c/f/" if fault == "flip" else "")
    )
    expected = {name: one.values.tolist() for name, one in COLUMNS.items()}, b"0"
    network.seen = []
    publish(bucket)
    read_from_the_store(bucket)
    whole = bucket.contents()
    reached = len([line for line in network.seen if re.search(of, line)])
    numbers = range(len(fault) % 3, reached, reached // 2) if spread else range(reached)
    assert len(numbers) > 1
    for number in numbers:
        for key in bucket.contents():
            bucket.remove(key)
        network.decide = nth(fault, {number, number + 7}, of)
        publish(bucket)
        assert bucket.contents() == whole, f"{fault} at {number}"
        assert read_from_the_store(bucket) == expected, f"{fault} at {number}"
    print(f"{fault}: {len(numbers)} of {reached} requests")


CASES = pytest.mark.parametrize("fault", [*FAULTS, "truncated list"])


@CASES
def test_a_request_of_writing_and_reading_survives_a_fault(bucket, network, capfd, fault):
    """One reset in ten thousand requests must not end a dump of a week."""
    break_each(bucket, network, fault, spread=True)
    assert ("trying again in" in capfd.readouterr().err) == (fault != "flip")


@pytest.mark.slow
@CASES
def test_every_request_of_writing_and_reading_survives_a_fault(bucket, network, fault):
    """The same for each request there is."""
    break_each(bucket, network, fault, spread=False)


def test_a_store_that_stays_away_is_given_up_in_one_line(bucket, network, capfd):
    """A minute of attempts, each said, and then what to do."""
    for fault, said in (("reset before", "cannot be reached"), ("hang", "does not answer"), ("busy", "503")):
        network.decide = nth(fault, range(1000))
        with pytest.raises(ObjectStoreError, match=said) as error:
            folder_exists(f"{bucket.url}/f", "plan")
        assert "\n" not in str(error.value)
        time.sleep(requests.SECONDS_BETWEEN_LINES)
    lines = capfd.readouterr().err.splitlines()
    assert [line.partition(": ")[2].partition(";")[0] for line in lines] == [
        "the connection broke",
        "no answer in time",
        "the store is busy",
    ]


def test_bytes_that_are_wrong_twice_are_damaged(bucket, network):
    """A second copy decides, and no third is asked for."""
    publish(bucket)
    network.decide = nth("flip", range(1000), "GET .*/c/f/a/c/0")
    folder = PublishedFolder(f"{bucket.url}/c/f", "marker", fresh=True)
    place_of(f"{bucket.url}/c/f").local.joinpath("a/c/0").unlink()
    network.seen.clear()
    with pytest.raises(CacheDamagedError, match="its SHA-256 is not the published one"):
        folder.column("a")
    assert len([line for line in network.seen if "a/c/0" in line]) == 2


def test_an_object_that_is_larger_than_listed_is_not_fetched(bucket, network):
    """An object of gigabytes behind a document of a kilobyte would fill memory and mirror first."""
    publish(bucket)
    folder = PublishedFolder(f"{bucket.url}/c/f", "marker", fresh=True)
    bucket.write("c/f/note", bytes(1 << 20))
    place_of(f"{bucket.url}/c/f").local.joinpath("note").unlink()
    with pytest.raises(CacheDamagedError, match="expected at most 1 bytes, found 1,048,576"):
        folder.file("note")
    assert not place_of(f"{bucket.url}/c/f").local.joinpath("note").exists()


def test_a_mirror_that_cannot_be_written_is_named(bucket, tmp_path, monkeypatch):
    """ "No space left" alone sends a user to the disk of the output."""
    publish(bucket)
    monkeypatch.setenv("MINIEND_MIRROR", str(tmp_path / "file"))
    (tmp_path / "file").touch()
    with pytest.raises(
        MiniEndError, match=f"mirror of the object store cannot be written .*{tmp_path}/file.*MINIEND_MIRROR"
    ):
        PublishedFolder(f"{bucket.url}/c/f", "marker")
    monkeypatch.setenv("MINIEND_MIRROR", "/dev/full/x")
    with pytest.raises(MiniEndError, match="mirror of the object store"):
        PublishedFolder(f"{bucket.url}/c/f", "marker")


def test_a_store_that_ignores_the_condition_is_refused(bucket, monkeypatch):
    """Two dumps into one prefix would overwrite each other without a word."""

    def put(self, key, data):
        return self.put(key, data)

    monkeypatch.setattr(Bucket, "_create", put)
    with pytest.raises(ObjectStoreError, match="ignores the condition of conditional puts"):
        publish(bucket)


HANGING = """
import sys, numpy as np
from miniend.cli import exit_status
from miniend.storage.columns.columns import Column
from miniend.storage.folder import PublishedFolder, folder_exists, publish_folder
url, what = sys.argv[1:]
def work():
    if what == "write":
        publish_folder(url, "marker", {}, {"a": Column(values=np.arange(9), axis="input")})
    else:
        folder_exists(url, "marker")
sys.exit(exit_status(work))
"""


@pytest.mark.parametrize(("number", "status", "what"), [(signal.SIGINT, 130, "read"), (signal.SIGTERM, 143, "write")])
def test_a_signal_is_heard_while_a_store_hangs(bucket, network, tmp_path, number, status, what):
    """45 seconds of deafness is longer than a preemptible machine gives."""
    network.decide = nth("hang", range(1000), "PUT|GET")
    command = [sys.executable, "-c", HANGING, f"{bucket.url}/c/f", what]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not network.seen and time.monotonic() < deadline:
        time.sleep(0.02)
    begun = time.monotonic()
    process.send_signal(number)
    _, said = process.communicate(timeout=30)
    assert (process.returncode, said.count("\n")) == (status, 1), said
    assert time.monotonic() - begun < 8, "2 s on a quiet machine"
