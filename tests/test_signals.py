"""Signals that ask for an end: a real process ends with one line, leaves nothing half-written, and the next run goes on."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest

from miniend import cli
from miniend.runtime.options import flag_of
from miniend.runtime.stopping import STOPPING, Terminated, held_back, raise_if_asked, stoppable
from miniend.teacher_dump.config import DumpConfig
from miniend.teacher_dump.dump import dump_teacher
from support.fork_server import SMALL, differences, whole_or_absent
from support.tiny_t5 import build_tiny_t5, tiny_texts, write_texts
from support.tiny_tokenizer import build_tiny_tokenizer

ENDS = {
    signal.SIGINT: (130, "miniend: interrupted; run the same command again to go on\n"),
    signal.SIGTERM: (143, "miniend: terminated; run the same command again to go on\n"),
    signal.SIGHUP: (129, "miniend: terminated by SIGHUP; run the same command again to go on\n"),
    signal.SIGUSR1: (138, "miniend: terminated by SIGUSR1; run the same command again to go on\n"),
    signal.SIGUSR2: (140, "miniend: terminated by SIGUSR2; run the same command again to go on\n"),
    signal.SIGXCPU: (152, "miniend: terminated by SIGXCPU; run the same command again to go on\n"),
}


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    """Settings of a dump of many small shards."""
    root = tmp_path_factory.mktemp("signals")
    texts = tiny_texts(40, words=30)
    tokenizer = build_tiny_tokenizer(texts, 60, sentinels=8)
    teacher = build_tiny_t5(root / "teacher", tokenizer, layers=(1, 1), d_model=8, heads=2, d_kv=8)
    corpus = write_texts(root / "corpus.jsonl", texts)
    return {
        **SMALL,
        "examples": 24,
        "validation_examples": 4,
        "shard_examples": 1,
        "teacher": str(teacher),
        "corpus": str(corpus),
    }


def dump(settings, cache):
    dump_teacher(DumpConfig(**settings, cache=cache), log=lambda line: None)
    return cache


@pytest.fixture(scope="module")
def unbroken(settings, tmp_path_factory):
    return dump(settings, tmp_path_factory.mktemp("unbroken") / "cache")


@pytest.fixture
def start(settings, commands):
    """start(cache): the dump, as a process of the command."""

    def started(cache):
        options = [f"{flag_of(DumpConfig, name)}={value}" for name, value in {**settings, "cache": cache}.items()]
        return commands.start("dump-teacher", *options)

    return started


def wait_for(process, cache, pattern):
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline and not list(cache.glob(pattern)):
        time.sleep(0.002)
    assert process.poll() is None, process.communicate()


def stop(process, number, gaps):
    """Send the signal, again after each gap in seconds."""
    process.send_signal(number)
    for gap in gaps:
        time.sleep(gap)
        if process.poll() is None:
            process.send_signal(number)


def see_end(process, number, gaps):
    """The process ends with its line and its status."""
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == ENDS[number], (number, gaps)


def test_an_interrupted_and_a_terminated_dump_end_with_a_line_and_go_on(start, settings, unbroken, tmp_path):
    """Cheap machines send SIGTERM before they go: a traceback, a hang or half a shard would each cost the cache."""
    cases = {"once": (signal.SIGINT, ()), "twice": (signal.SIGTERM, (0.02, 0.001)), "slurm": (signal.SIGUSR1, ())}
    processes = {name: start(tmp_path / name) for name in cases}
    for name, (number, gaps) in cases.items():
        wait_for(processes[name], tmp_path / name, "shards/validation-000000")
        stop(processes[name], number, gaps)
    for name, case in cases.items():
        see_end(processes[name], *case)
        assert list((tmp_path / name).rglob(".*")) == []
        assert not list((tmp_path / name).glob("shards/train-000023"))
        assert whole_or_absent(tmp_path / name, unbroken) == []
        assert differences(dump(settings, tmp_path / name), unbroken) == []


LATE = """
import os, signal
from miniend import __main__ as entry

class Last:
    def __del__(self, kill=os.kill, pid=os.getpid(), number=signal.SIGTERM):
        kill(pid, number)

last = Last()
entry._command_line = lambda: os.kill(os.getpid(), signal.SIGTERM)
entry.main()
"""
"""A command that is terminated, and once more while the interpreter takes down its modules, after it took its handlers away."""


def test_a_second_signal_while_the_interpreter_ends_does_not_change_the_status():
    """Launchers repeat a signal; its status tells a scheduler whether the work was saved."""
    ended = subprocess.run([sys.executable, "-c", LATE], check=False, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == ENDS[signal.SIGTERM]


@pytest.mark.slow
@pytest.mark.parametrize("number", ENDS)
@pytest.mark.parametrize(
    "stage", ["plan", "segments/.staging-*", "calibration", "shards/validation-*", "shards/train-000007"]
)
def test_a_signal_at_any_stage_ends_the_dump_in_order(start, settings, unbroken, tmp_path, number, stage):
    """Stages that the main thread writes itself, and second and third signals while the first is being obeyed."""
    chance = random.Random(f"{number} {stage}")
    for attempt in range(3):
        cache = tmp_path / str(attempt)
        process = start(cache)
        wait_for(process, cache, stage)
        time.sleep(chance.uniform(0, 0.1))
        gaps = [chance.uniform(0, 0.05) for _ in range(attempt)]
        stop(process, number, gaps)
        see_end(process, number, gaps)
        assert whole_or_absent(cache, unbroken) == []
        assert differences(dump(settings, cache), unbroken) == []


@pytest.mark.parametrize("number", ENDS)
def test_the_handlers_are_put_back(number):
    """A library that keeps a signal for itself breaks whatever program calls it."""
    before = signal.getsignal(number)
    seen = []
    assert cli.exit_status(lambda: seen.append(signal.getsignal(number))) == 0
    assert seen[0] is not before
    assert signal.getsignal(number) is before


@pytest.mark.parametrize("number", ENDS)
def test_every_signal_that_asks_for_an_end_has_a_line_and_its_status(number, capfd, handlers):
    """A lost terminal sends SIGHUP, SLURM what --signal says: their default is death on the spot, without a checkpoint."""
    assert set(ENDS) == set(STOPPING)
    status, said = ENDS[number]
    assert cli.exit_status(lambda: signal.raise_signal(number)) == status
    assert capfd.readouterr().err == said


IMPATIENT = """
import sys, time
from miniend.runtime import stopping
stopping.REPEATED = 0.1
def work():
    with stopping.held_back():
        print("ready", flush=True)
        time.sleep(60)
sys.exit(stopping.status_of(work))
"""


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_an_impatient_user_ends_a_command_that_saves_its_work(commands, second):
    """A step or a checkpoint may take minutes."""
    process = commands.python(IMPATIENT)
    while process.written()[0] != "ready\n":
        time.sleep(0.01)
    process.terminate()
    time.sleep(0.3)
    process.send_signal(second)
    _, said = process.communicate(timeout=30)
    status, line = ENDS[second]
    assert (process.returncode, said) == (status, line.replace(";", " again, so it ends at once;"))


def test_a_scheduler_that_sends_another_signal_later_is_not_impatient(monkeypatch, capfd, handlers):
    """SLURM sends what --signal says, and SIGTERM as the time runs out: the checkpoint is written all the same."""
    monkeypatch.setattr("miniend.runtime.stopping.REPEATED", 0.0)
    seen = []

    def work():
        with held_back():
            signal.raise_signal(signal.SIGUSR1)
            signal.raise_signal(signal.SIGTERM)
            seen.append("saved")

    assert cli.exit_status(work) == 143
    assert seen == ["saved"]
    assert capfd.readouterr().err == ENDS[signal.SIGTERM][1]


AT_IMPORT = """
import os, signal, sys, threading
from miniend import __main__ as entry
after, number = float(sys.argv.pop(1)), int(sys.argv.pop(1))
timer, begin = threading.Timer(after, os.kill, (os.getpid(), number)), entry._command_line
timer.daemon = True
entry._command_line = lambda: timer.start() or begin()
entry.main()
"""


def stopped_while_importing(arguments, after, number):
    """A real process that nobody has prepared; it takes seconds to import torch and transformers."""
    command = [sys.executable, "-c", AT_IMPORT, str(after), str(int(number)), *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (ended.returncode, ended.stderr) == ENDS[number], (after, number)


def test_a_signal_before_the_command_line_is_read_stops_in_order():
    """Python itself would print a traceback, or die without a word."""
    stopped_while_importing(["dump-teacher"], 0.0, signal.SIGINT)


@pytest.mark.slow
def test_a_signal_while_modules_are_imported_stops_in_order(settings, tmp_path):
    """An import takes longest where a machine has just started, and that is when a user sees his typing error."""
    options = [f"{flag_of(DumpConfig, name)}={value}" for name, value in {**settings, "cache": tmp_path / "c"}.items()]
    chance = random.Random(0)
    for count in range(18):
        stopped_while_importing(["dump-teacher", *options], chance.uniform(0, 3), list(ENDS)[count % len(ENDS)])
    assert not (tmp_path / "c").exists()


def test_a_signal_that_was_ignored_stays_ignored(handlers):
    """nohup ignores SIGHUP so that a run outlives its terminal."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    assert cli.exit_status(lambda: signal.raise_signal(signal.SIGHUP)) == 0


def test_a_signal_waits_for_what_must_not_be_left_halfway(handlers):
    """Zarr's loop goes on writing in its own thread, into the folder that the interrupted writer has just removed."""
    seen = []

    def terminated_while_writing():
        with stoppable():
            with held_back(), held_back():
                os.kill(os.getpid(), signal.SIGTERM)
                seen.append("written")
            seen.append("interrupted too late")

    with pytest.raises(Terminated):
        terminated_while_writing()
    assert seen == ["written"]


@pytest.mark.parametrize(("unless", "raised"), [((), Terminated), (OSError, Terminated), (ValueError, ValueError)])
def test_an_error_that_ends_the_command_is_not_hidden_by_a_signal_that_waits(unless, raised, handlers):
    """Others are: a reader that takes an error for an answer would go on, and the signal be lost."""

    @stoppable()
    @held_back(unless)
    def failing_after_a_signal():
        os.kill(os.getpid(), signal.SIGTERM)
        raise ValueError

    with pytest.raises((ValueError, Terminated)) as found:
        failing_after_a_signal()
    assert found.type is raised
    with held_back():
        pass  # nothing waits any more


HEARD = []
"""Whether the next test follows one that heard a signal."""


def test_a_command_that_ended_by_a_signal_remembers_it_for_the_threads_that_still_wait(handlers):
    """They wait for a store, and would hold the process."""
    assert cli.exit_status(lambda: signal.raise_signal(signal.SIGTERM)) == 143
    with pytest.raises(Terminated):
        raise_if_asked()
    HEARD.append(True)


def test_a_test_does_not_hear_the_signal_of_the_one_before():
    """It once ended the whole run, where a store had answered slowly in a test that came later."""
    assert HEARD
    try:
        raise_if_asked()
    except KeyboardInterrupt:  # which would end pytest itself
        pytest.fail("the signal is still heard")
