"""For all tests: one thread per process, since tiny models only wait for more, and no hub is ever asked.

A test that wants more threads has them, but they sleep while they wait: on cores that others use they would only spin.
"""

import os

os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
os.environ.update(OMP_WAIT_POLICY="PASSIVE")

import gc
import itertools
import signal
import sys
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("repeatable", derandomize=True, deadline=None, print_blob=True)
settings.load_profile("repeatable")

_buckets = itertools.count()
LONGEST_FIRST = (
    "test_truth_of_signals.py",
    "test_offline_equals_online.py",
    "student_train/test_train.py",
    "recipes/compare/test_compare.py",
    "test_cli.py",
    "teacher_dump/test_many_workers.py",
    "teacher_dump/test_dump.py",
    "recipes/repair/test_verify.py",
    "recipes/repair/test_repair.py",
    "teacher_dump/test_faults.py",
    "student_train/run/test_processes.py",
    "teacher_dump/test_dump_corpora.py",
    "test_object_store.py",
    "test_fuzz.py",
    "test_errnos.py",
    "test_wrong_paths.py",
    "test_documents.py",
    "teacher_dump/test_many_files.py",
    "teacher_dump/test_long_documents.py",
    "test_signals.py",
    "recipes/inspect/test_plot.py",
    "recipes/estimate/test_estimate.py",
    "recipes/share/test_push_cache.py",
    "test_environments.py",
    "test_extending.py",
    "api/test_calls.py",
    "examples/test_notebook.py",
    "student_train/test_interruption.py",
    "teacher_dump/shards/test_space.py",
    "teacher_dump/test_recorded.py",
    "student_train/test_several_students.py",
    "teacher_dump/test_kills.py",
)
"""Each worker takes the next file when it is done with one: what takes long must not be the last that is left."""

SLOWEST = 3600
"""The seconds that a slow test may take; the others have the limit of pytest.ini."""


def pytest_collection_modifyitems(items):
    """The longest files first, all others as they were found. A slow test takes longer still on a machine that others use."""
    root = Path(__file__).parent
    place = {root / name: number for number, name in enumerate(LONGEST_FIRST)}
    if lost := [str(path) for path in place if not path.is_file()]:
        raise pytest.UsageError(f"tests/conftest.py orders files that are not there: {', '.join(lost)}")
    items.sort(key=lambda item: place.get(item.path, len(place)))
    for item in items:
        if item.get_closest_marker("slow") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(SLOWEST))


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """A dump gives its process the threads of the plan; the next module has one again."""
    gc.freeze()
    yield
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)


@pytest.fixture(scope="module", autouse=True)
def no_plugins():
    """Every record names the plugins that its process was asked for; the next module has none again."""
    yield
    if plugins := sys.modules.get("miniend.runtime.plugins"):
        plugins._named.clear()


@pytest.fixture(autouse=True)
def no_signal_from_before():
    """A process that has heard a signal is about to end, so it remembers it; the next test would be ended by it."""
    yield
    if stopping := sys.modules.get("miniend.runtime.stopping"):
        stopping._Asked.last = None
        stopping._HeldBack.depth, stopping._HeldBack.waiting = 0, None


@pytest.fixture(scope="session", autouse=True)
def no_progress():
    """On a slow machine there are lines of progress, which a test of what a command prints does not expect."""
    from miniend.runtime import progress

    usual, progress.FIRST_AFTER = progress.FIRST_AFTER, 1e9
    return usual


@pytest.fixture(scope="session", autouse=True)
def usual_fsync():
    """No test waits for the disk: a process that ends or is killed loses nothing that it wrote; only a power cut would."""
    usual, os.fsync = os.fsync, lambda descriptor: None
    yield usual
    os.fsync = usual


@pytest.fixture(scope="session")
def commands(tmp_path_factory):
    """Starts real processes; see support/commands.py."""
    from support.commands import Commands

    server = Commands(tmp_path_factory.mktemp("commands"))
    yield server
    server.close()


@pytest.fixture
def handlers():
    """Puts the handlers of signals back, also when called: `stoppable` leaves them, for its process is about to end."""
    from miniend.runtime.stopping import STOPPING

    before = {number: signal.getsignal(number) for number in STOPPING}

    def restore():
        for number, handler in before.items():
            signal.signal(number, handler)

    yield restore
    restore()


@pytest.fixture(scope="session")
def s3_endpoint():
    """An S3 server on loopback; it starts with the first test that wants one."""
    from support.object_store import s3_server

    with s3_server() as url:
        yield url


@pytest.fixture
def bucket(s3_endpoint, monkeypatch, tmp_path):
    """A new bucket, the environment that leads to it, and an empty mirror."""
    from support.object_store import TestBucket, use

    use(monkeypatch, s3_endpoint, tmp_path / "mirror")
    return TestBucket(s3_endpoint, f"bucket-{next(_buckets)}")
