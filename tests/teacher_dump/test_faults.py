"""Every storage operation of a dump may fail, find the disk full or be the last: what is visible is whole, and the dump goes on.

The default suite takes a spread of the operations, `make test-slow` takes each.
"""

import pytest

from support import fork_server
from support.faults import DIED, KINDS

SLICES = 8
"""Parts of the full enumeration, so that two processes can share it."""


def break_and_mend(server, cache, unbroken, kind, at):
    """One fault, and all that must be true after it."""
    status, report = server.run(cache, fault=(kind, at), unbroken=unbroken)
    if kind == "die":
        assert status == DIED, f"{kind} at {at}: the operation was not reached"
        status, report = server.run(cache, unbroken=unbroken)
        report |= {"status": 2, "said": "miniend: dead\n"}
    assert status == 0, f"{kind} at {at}: a process ended with {status}"
    assert kind == "die" or len(report["operations"]) > at, f"{kind} at {at}: the operation was not reached"
    assert report["complaints"] == [], f"{kind} at {at}"
    if report["status"]:
        assert report["status"] == 2, f"{kind} at {at}: {report['said']}"
        assert report["said"].startswith("miniend: "), f"{kind} at {at}: {report['said']}"
        assert report["said"].count("\n") == 1, f"{kind} at {at}: {report['said']}"


def break_all(server, unbroken, folder, kind, numbers):
    cache, operations = unbroken
    failed = []
    for at in numbers:
        try:
            break_and_mend(server, folder / f"{at}", cache, kind, at)
        except AssertionError as error:
            failed.append(f"{operations[at]}: {error}")
    assert not failed, "\n".join(failed)


def test_all_kinds_of_operations_in_all_folders_are_counted(unbroken):
    """A harness that overlooks the writes of one folder proves nothing about them."""
    _, operations = unbroken
    kinds = {line.split()[0] for line in operations}
    assert kinds >= {"open", "write", "flush", "mkdir", "rename", "unlink", "lock"}
    for folder in ("", "segments/", "extents/", "shards/"):
        within = {line.split()[0] for line in operations if line.split()[1].startswith(f"{folder}.staging-")}
        assert within >= {"open", "write", "flush", "mkdir", "rename", "unlink", "lock"}, folder


def test_a_test_that_runs_out_of_time_leaves_no_answer_for_the_next(server, tmp_path, monkeypatch):
    """On a busy machine one late test made all tests after it fail."""

    def late(_seconds):
        raise TimeoutError

    with monkeypatch.context() as patched:
        patched.setattr(fork_server.time, "sleep", late)
        with pytest.raises(TimeoutError):
            server.run(tmp_path / "late")
    assert server.run(tmp_path / "cache") == (0, {"complaints": []})


@pytest.mark.parametrize("kind", KINDS)
def test_a_dump_goes_on_after_a_fault(server, unbroken, tmp_path, kind):
    """A folder that is half there teaches a student nonsense; one that is left behind grows the cache for ever."""
    count = len(unbroken[1])
    numbers = range(KINDS.index(kind), count, count // 4)
    break_all(server, unbroken, tmp_path, kind, sorted({*numbers, count - 1}))


@pytest.mark.slow
@pytest.mark.parametrize("part", range(SLICES))
@pytest.mark.parametrize("kind", KINDS)
def test_a_dump_goes_on_after_a_fault_at_any_operation(server, unbroken, tmp_path, kind, part):
    """The same for each operation there is."""
    break_all(server, unbroken, tmp_path, kind, range(part, len(unbroken[1]), SLICES))
