"""Publishing: whole or not at all, exclusive, and what killed writers leave is invisible and cleaned up."""

import errno
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from miniend.errors import CacheMismatchError, MiniEndError
from miniend.runtime.durable import write_durably
from miniend.storage.folder import PublishedFolder, folder_exists, publish_folder
from miniend.storage.publishing.publish import publish, remove_abandoned, staging

KILLED_WRITER = """
import sys, time
from pathlib import Path
from miniend.storage.publishing.publish import staging
with staging(Path(sys.argv[1])) as staged:
    (staged / "marker.json").write_text("{}")
    print("writing", flush=True)
    time.sleep(60)
"""
RACING_WRITER = """
import sys
from pathlib import Path
import numpy as np
from miniend.storage.columns.columns import Column
from miniend.storage.folder import publish_folder
column = Column(values=np.arange(1000), axis="input")
print("ready", flush=True)
sys.stdin.readline()
print(publish_folder(Path(sys.argv[1]), "marker", {"a": 1}, {"c": column}), flush=True)
"""


def start(script, target):
    arguments = [sys.executable, "-c", script, str(target)]
    return subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_a_killed_writer_leaves_nothing_visible_and_the_next_one_cleans_up(tmp_path):
    """Half a shard taken for a whole one, or a disk that fills with the remains of every kill."""
    target = tmp_path / "shards" / "train-000000"
    with start(KILLED_WRITER, target) as writer:
        assert writer.stdout.readline() == "writing\n"
        assert len(list(target.parent.glob(".staging-*"))) == 2
        assert remove_abandoned(target.parent) == []
        writer.send_signal(signal.SIGKILL)
    assert len(list(target.parent.glob(".staging-*"))) == 2
    assert not folder_exists(target, "marker")
    publish_folder(target, "marker", {})
    assert os.listdir(target.parent) == ["train-000000"]


def test_a_living_writer_is_not_disturbed_by_others_in_the_same_folder(tmp_path):
    """A worker that cleans too much deletes its neighbours' shards under their hands."""
    with staging(tmp_path / "a") as staged:
        (staged / "x").write_text("x")
        publish_folder(tmp_path / "b", "marker", {})
        assert (staged / "x").read_text() == "x"
        assert publish(staged, tmp_path / "a")
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]


def test_two_processes_publishing_the_same_target_agree(tmp_path):
    """One wins, the other discards its own; two digests for one shard would break the chain."""
    for attempt in range(3):
        target = tmp_path / f"{attempt}"
        with start(RACING_WRITER, target) as one, start(RACING_WRITER, target) as other:
            assert one.stdout.readline() == other.stdout.readline() == "ready\n"
            for writer in (one, other):
                writer.stdin.write("\n")
                writer.stdin.flush()
            digests = {one.stdout.readline().strip(), other.stdout.readline().strip()}
        assert digests == {PublishedFolder(target, "marker").digest}
        assert PublishedFolder(target, "marker").verify() == []
    assert sorted(os.listdir(tmp_path)) == ["0", "1", "2"]


def test_many_threads_publishing_one_target_agree(tmp_path):
    """Locks of one process must exclude its own threads as well."""
    digests = []
    threads = [
        threading.Thread(
            target=lambda: digests.append(publish_folder(tmp_path / "t", "marker", {"a": 1}, files={"f": b"x"}))
        )
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(digests) == 8
    assert set(digests) == {PublishedFolder(tmp_path / "t", "marker").digest}
    assert os.listdir(tmp_path) == ["t"]


def test_a_failing_writer_removes_its_own_staging(tmp_path):
    """An error inside the block must not leave half a folder behind."""
    with pytest.raises(FileNotFoundError), staging(tmp_path / "a") as staged:
        (staged / "missing" / "x").touch()
    assert os.listdir(tmp_path) == []


def test_publishing_never_replaces_what_stands(tmp_path):
    """rename replaces files silently, and empty folders; a published folder is never empty."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "old").write_text("old")
    with staging(tmp_path / "a") as staged:
        (staged / "new").write_text("new")
        assert not publish(staged, tmp_path / "a")
    assert os.listdir(tmp_path / "a") == ["old"]
    (tmp_path / "file").write_text("mine")
    with pytest.raises(CacheMismatchError, match="found a file"):
        publish_folder(tmp_path / "file", "marker", {})
    assert (tmp_path / "file").read_text() == "mine"


def test_remains_without_a_lock_file_or_without_a_folder_are_removed(tmp_path):
    """A crash between the two removals leaves one of them."""
    (tmp_path / ".staging-a-1-ff" / "c").mkdir(parents=True)
    (tmp_path / ".staging-b-1-ff.lock").touch()
    assert [path.name for path in remove_abandoned(tmp_path)] == [".staging-a-1-ff", ".staging-b-1-ff"]
    assert os.listdir(tmp_path) == []
    assert remove_abandoned(tmp_path / "missing") == []


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_said_in_words_and_publishes_nothing(tmp_path, monkeypatch, code):
    """The user must learn what to do, and a folder whose bytes did not reach the disk must not appear."""

    def full(descriptor):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(MiniEndError, match=r"the disk is full: .* run the same command again"):
        publish_folder(tmp_path / "a", "marker", {}, files={"f": b"x"})
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("function", ["fsync", "rename"])
def test_a_failure_at_any_flush_or_rename_leaves_nothing_and_a_second_run_succeeds(tmp_path, monkeypatch, function):
    """Every system call between the first byte and the rename may fail; the folder is then absent, not partial."""
    original, target = getattr(os, function), tmp_path / "a"
    for failing in range(100):
        calls = iter(range(1000))

        def broken(*arguments, calls=calls, failing=failing, **named):
            if next(calls) == failing:
                raise OSError(errno.EIO, "broken")
            return original(*arguments, **named)

        monkeypatch.setattr(os, function, broken)
        try:
            publish_folder(target, "marker", {}, files={"f": b"x", "g/h": b"y"})
        except OSError:
            monkeypatch.undo()
            assert not list(tmp_path.glob(".staging*"))
            assert not target.exists() or PublishedFolder(target, "marker").verify() == []
            continue
        break
    monkeypatch.undo()
    assert next(calls) > failing or target.exists()
    assert PublishedFolder(target, "marker").verify() == []
    assert failing >= 1


def test_files_and_folders_are_flushed_before_the_rename_and_the_parent_after(tmp_path, monkeypatch, usual_fsync):
    """Without it a power cut leaves a published name over empty files."""
    events, rename = [], os.rename

    def noting(descriptor):
        events.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")).name)
        usual_fsync(descriptor)

    def renaming(source, target):
        if Path(target).name == "a":
            events.append("rename")
        rename(source, target)

    monkeypatch.setattr(os, "fsync", noting)
    monkeypatch.setattr(os, "rename", renaming)
    publish_folder(tmp_path / "a", "marker", {}, files={"g/h": b"y"})
    before, after = events[: events.index("rename")], events[events.index("rename") + 1 :]
    assert {"g", "h", "marker.json"} < set(before)
    assert before[-1].startswith(".staging-a-")
    assert after == [tmp_path.name]


def test_durable_writes_replace_whole_files(tmp_path):
    """No rest of a longer file, no temporary left."""
    path = tmp_path / "file"
    write_durably(path, b"longer content")
    write_durably(path, b"short")
    assert path.read_bytes() == b"short"
    assert list(tmp_path.iterdir()) == [path]
