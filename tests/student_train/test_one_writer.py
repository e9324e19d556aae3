"""One output directory has one writer: the second process that is started is refused in one line, and harms nothing."""

import time

import pytest

from miniend.errors import OutputBusyError
from miniend.runtime.claims import sole_writer
from miniend.student_train.config import TrainConfig
from miniend.student_train.train import dry_run_students, train_student
from support.runs import RUN, metrics

ONE_LINE = "is being written by another process"


def quiet(_line):
    pass


def command(home, output, **settings):
    settings = {**RUN, "objective": "scratch", "cache": home / "cache", "output": output, **settings}
    return ["train-student", *(f"--{name.replace('_', '-')}={value}" for name, value in settings.items())]


def wait_for_lines(process, output, count):
    deadline = time.monotonic() + 120
    path = output / "metrics.jsonl"
    while process.poll() is None and time.monotonic() < deadline:
        if path.exists() and path.read_bytes().count(b"\n") >= count:
            return
        time.sleep(0.01)
    raise AssertionError(process.communicate())


def test_a_job_that_is_queued_twice_trains_once(ragged_home, commands, tmp_path):
    """Both wrote the same files: the first ended with exit status 0 and 2 of 40 lines of metrics."""
    output = tmp_path / "out"
    asked = command(ragged_home, output, steps=100_000, save_every=100_000, eval_every=100_000)
    first = commands.start(*asked)
    wait_for_lines(first, output, 3)
    second = commands.start(*asked)
    _, said = second.communicate()
    assert second.returncode == 2
    assert said.count("\n") == 1
    assert f"{output} {ONE_LINE} ({first.pid} on " in said
    first.terminate()
    assert first.wait() == 143
    steps = [line["step"] for line in metrics(output)]
    assert steps == list(range(1, len(steps) + 1))
    assert not list(output.glob(".claim-*"))


def test_under_torchrun_the_main_process_asks_for_all(ragged_home, commands, tmp_path):
    """A rank that went on would wait for ever for the one that was refused."""
    with sole_writer(tmp_path / "out"):
        for process in commands.ranks(2, *command(ragged_home, tmp_path / "out")):
            _, said = process.communicate()
            assert process.returncode == 2
            assert ONE_LINE in said or "the main process refused its output" in said


def test_a_finished_run_and_a_dry_run_need_no_lock(ragged_home, tmp_path):
    """They write nothing, so that a colleague may look at a directory that is not his."""
    config = TrainConfig(cache=ragged_home / "cache", output=tmp_path / "out", **RUN | {"steps": 2, "warmup_steps": 1})
    with sole_writer(config.output):
        dry_run_students([config], quiet)
        with pytest.raises(OutputBusyError, match=ONE_LINE):
            train_student(config, quiet)
    train_student(config, quiet)
    with sole_writer(config.output):
        train_student(config, quiet)
