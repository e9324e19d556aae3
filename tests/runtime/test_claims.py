"""Claims: one holder at a time, none that outlives its process, nothing left behind."""

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from miniend.errors import ConfigurationError, OutputBusyError
from miniend.runtime.claims import Claims, holds_files, sole_writer
from miniend.storage.publishing.publish import remove_abandoned, staging

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


def test_a_directory_has_one_writer_and_the_second_is_told_who(tmp_path):
    """Two trainings into one directory overwrite each other's lines and checkpoints, and both end with exit status 0."""
    output = tmp_path / "new" / "out"
    with sole_writer(output):
        said = rf"out is being written by another process \({os.getpid()} on "
        with pytest.raises(OutputBusyError, match=said), sole_writer(output):
            pass
        assert not holds_files(output)
    assert list(tmp_path.iterdir()) == [], "a run that wrote nothing leaves nothing"
    with sole_writer(output):
        (output / "file").touch()
    assert [path.name for path in output.iterdir()] == ["file"]


def test_the_writers_of_a_directory_leave_a_file_and_an_empty_folder_of_the_user_alone(tmp_path):
    """What was there before is not ours to remove."""
    (tmp_path / "file").touch()
    with (
        pytest.raises(ConfigurationError, match="file is a file; expected a directory"),
        sole_writer(tmp_path / "file"),
    ):
        pass
    (tmp_path / "empty").mkdir()
    with sole_writer(tmp_path / "empty"):
        pass
    assert (tmp_path / "empty").is_dir()


@pytest.fixture
def without_locks(monkeypatch):
    """flock as on NFS without its lock daemon, and a fresh memory of what was said."""
    from miniend.runtime import claims

    def refuse(error):
        def flock(_descriptor, _operation):
            raise OSError(error, os.strerror(error))

        monkeypatch.setattr(claims.fcntl, "flock", flock)
        claims._say_without_locks.cache_clear()

    yield refuse
    claims._say_without_locks.cache_clear()


@pytest.mark.parametrize("error", [errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS])
def test_a_file_system_without_locks_grants_every_claim_and_says_so_once(tmp_path, capfd, without_locks, error):
    """The README promises work done twice at worst, where a traceback ended the dump."""
    without_locks(error)
    with Claims(tmp_path) as one, Claims(tmp_path) as other, sole_writer(tmp_path):
        assert one.take("shard")
        assert other.take("shard")
    assert capfd.readouterr().err.count("does not have file locks (flock)") == 1


def test_where_nobody_knows_the_living_nothing_of_theirs_is_removed(tmp_path, without_locks):
    """A granted claim proves nothing: the folder that another writer is filling would vanish under it."""
    without_locks(errno.ENOLCK)
    with staging(tmp_path / "shard") as folder:
        assert remove_abandoned(tmp_path) == []
        assert folder.is_dir()
        (tmp_path / ".claim-other.lock").touch()
        with Claims(tmp_path):
            pass
        assert (tmp_path / ".claim-other.lock").exists()


def test_another_users_dead_lock_file_is_opened_to_read(tmp_path, monkeypatch):
    """In a shared cache the file of a colleague's killed worker is 0644, and cannot be opened for writing."""
    (tmp_path / ".claim-shard.lock").write_text("")
    opened, unlink = os.open, Path.unlink

    def guarded(path, flags, *rest, **named):
        if flags & os.O_RDWR:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return opened(path, flags, *rest, **named)

    def sticky(self, **named):
        if self.name == ".claim-shard.lock":
            raise PermissionError(errno.EPERM, "Operation not permitted", str(self))
        return unlink(self, **named)

    monkeypatch.setattr(os, "open", guarded)
    monkeypatch.setattr(Path, "unlink", sticky)
    with Claims(tmp_path) as one, Claims(tmp_path) as other:
        assert one.take("shard")
        assert not other.take("shard")
        with pytest.raises(PermissionError):
            one.take("a new one")
