"""Claims: one holder at a time, none that outlives its process, nothing left behind."""

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from miniend.runtime.claims import Claims
from miniend.storage.publishing.publish import remove_abandoned

HOLD = """
import sys, time
from pathlib import Path
from miniend.runtime.claims import Claims
with Claims(Path(sys.argv[1])) as claims:
    print(claims.take("shard"), flush=True)
    time.sleep(600)
"""


def test_a_claim_has_one_holder_until_it_is_released(tmp_path):
    """Two holders do the same work twice; a claim that stays would never be done."""
    with Claims(tmp_path) as one, Claims(tmp_path) as other:
        assert one.take("shard")
        assert not other.take("shard")
        assert not one.take("shard")
        assert other.take("another")
        one.release("shard")
        assert other.take("shard")
    assert list(tmp_path.iterdir()) == []


def test_what_others_hold_is_told_apart_from_what_is_ours_and_what_the_dead_left(tmp_path):
    """A repair beside a dump that is at work would compare with what changes under it."""
    with Claims(tmp_path) as one, Claims(tmp_path) as other:
        one.take("train-000001")
        other.take("preparation")
        (tmp_path / ".claim-train-000002.lock").touch()
        assert other.of_others() == ["train-000001"]
        one.release("train-000001")
        assert other.of_others() == []


def test_the_end_of_the_context_releases_what_an_error_left(tmp_path):
    """A worker that fails in a shard must leave it to the others."""
    try:
        with Claims(tmp_path) as one:
            one.take("shard")
            raise RuntimeError
    except RuntimeError:
        pass
    with Claims(tmp_path) as other:
        assert other.take("shard")


def test_the_claim_of_a_killed_process_is_free_and_its_file_is_swept(tmp_path):
    """A worker that waits for the dead waits for ever."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "True\n"
    with Claims(tmp_path) as claims:
        assert not claims.take("shard")
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        assert [path.name for path in tmp_path.iterdir()] == [".claim-shard.lock"]
    assert list(tmp_path.iterdir()) == []


def test_the_sweep_leaves_living_claims_and_staging_folders_alone(tmp_path):
    """The first worker to finish must not take the locks of the others away."""
    with Claims(tmp_path) as living:
        living.take("shard")
        with Claims(tmp_path):
            pass
        assert [path.name for path in tmp_path.iterdir()] == [".claim-shard.lock"]
        assert remove_abandoned(tmp_path) == []
        with Claims(tmp_path) as other:
            assert not other.take("shard")


def test_waiting_ends_with_the_release_and_says_so_once(tmp_path):
    """A claim that is free is taken without a word."""
    said = []
    with Claims(tmp_path) as one, Claims(tmp_path) as other:
        one.wait("preparation", lambda: said.append("one"))
        timer = threading.Timer(0.5, one.release, ["preparation"])
        timer.start()
        other.wait("preparation", lambda: said.append("other"))
        timer.join()
    assert said == ["other"]


def test_many_that_take_and_release_never_hold_together(tmp_path):
    """A lock file is removed while others open it: two of them must not end up with two files of one name."""
    inside, worst, lock = [0], [0], threading.Lock()

    def work():
        with Claims(tmp_path) as claims:
            for _ in range(200):
                if claims.take("shard"):
                    with lock:
                        inside[0] += 1
                        worst[0] = max(worst[0], inside[0])
                    time.sleep(0.0002)
                    with lock:
                        inside[0] -= 1
                    claims.release("shard")

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert worst == [1]


def test_a_cache_directory_that_is_not_there_is_made(tmp_path):
    """The first of many workers comes before there is a plan."""
    with Claims(tmp_path / "new" / "cache") as claims:
        assert claims.take("preparation")
    assert Path(tmp_path / "new" / "cache").is_dir()
