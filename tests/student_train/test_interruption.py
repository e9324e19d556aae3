"""Signals and kills: a signal ends in a checkpoint of the step in hand, a kill costs the steps since the last one."""

import math
import os
import random
import shutil
import signal
import time
from pathlib import Path

import pytest
import torch

from miniend.errors import TrainingError
from miniend.runtime.stopping import Terminated, stoppable
from miniend.student_train import train
from miniend.student_train.config import TrainConfig
from miniend.student_train.run import validation
from miniend.student_train.train import train_student
from support.runs import RUN, metrics, same_weights

SETTINGS = {**RUN, "objective": "miniend-d"}


def quiet(_line):
    """Says nothing."""


def config(home, output, **settings):
    return TrainConfig(cache=home / "cache", output=output, **{**SETTINGS, **settings})


@pytest.fixture(scope="module")
def unbroken(ragged_home, tmp_path_factory):
    output = tmp_path_factory.mktemp("unbroken") / "student"
    train_student(config(ragged_home, output), quiet)
    return output


def checkpoints(output):
    return [path.name for path in (output / "checkpoints").iterdir()]


def see_the_same(output, unbroken):
    assert same_weights(output, unbroken)
    assert metrics(output) == metrics(unbroken)
    assert (output / "README.md").read_bytes() == (unbroken / "README.md").read_bytes()


@pytest.mark.parametrize(
    ("number", "step"),
    [
        *((number, step) for number in (signal.SIGTERM, signal.SIGINT) for step in (0, 1, 6, 9)),
        (signal.SIGHUP, 6),
        (signal.SIGUSR1, 6),
        (signal.SIGXCPU, 6),
    ],
)
def test_a_signal_in_a_step_ends_in_a_checkpoint_of_that_step(
    ragged_home, unbroken, tmp_path, monkeypatch, handlers, number, step
):
    """Half a minute of warning is all that a cheap machine gives; the step in hand is done in less."""
    one_step = train.train_step

    def signalled(runs, batches, processes):
        if runs[0].state.step == step:
            os.kill(os.getpid(), number)
        return one_step(runs, batches, processes)

    with monkeypatch.context() as patched:
        patched.setattr(train, "train_step", signalled)
        with pytest.raises(KeyboardInterrupt) as stopped, stoppable():
            train_student(config(ragged_home, tmp_path), quiet)
    handlers()
    assert getattr(stopped.value, "number", signal.SIGINT) == number
    assert checkpoints(tmp_path) == [f"step-{step + 1:08d}"]
    assert not (tmp_path / "model.safetensors").exists()
    train_student(config(ragged_home, tmp_path), quiet)
    see_the_same(tmp_path, unbroken)


def test_a_loss_that_is_not_finite_is_told_though_a_signal_came_in_its_step(
    ragged_home, tmp_path, monkeypatch, handlers
):
    """Whoever only reads that it was terminated starts it again, on the next machine that may be taken away."""
    one_step = train.train_step

    def poisoned(runs, batches, processes):
        if runs[0].state.step == 6:
            os.kill(os.getpid(), signal.SIGTERM)
            with torch.no_grad():
                runs[0].setup.student.shared.weight[5:] = math.nan
        return one_step(runs, batches, processes)

    monkeypatch.setattr(train, "train_step", poisoned)
    with pytest.raises((TrainingError, Terminated), match=r"not finite at step 7 \(loss nan"), stoppable():
        train_student(config(ragged_home, tmp_path), quiet)
    assert checkpoints(tmp_path) == ["step-00000004"]


@pytest.mark.parametrize("batch", [1, 2])
def test_a_signal_in_an_evaluation_leaves_the_line_of_its_step_to_the_next_run(
    ragged_home, unbroken, tmp_path, monkeypatch, handlers, batch
):
    """An evaluation may take minutes and is given up; its step is done, and must be logged once, with its evaluation."""
    add, seen = validation._Sums.add, []

    def signalled(*arguments):
        seen.append(1)
        if len(seen) == batch:
            os.kill(os.getpid(), signal.SIGUSR1 if batch == 1 else signal.SIGTERM)
        return add(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(validation._Sums, "add", signalled)
        with pytest.raises(Terminated), stoppable():
            train_student(config(ragged_home, tmp_path, batch_size=4), quiet)
    handlers()
    if batch == 1:
        assert checkpoints(tmp_path) == ["step-00000005"]
        assert metrics(tmp_path)[-1]["step"] == 4
    train_student(config(ragged_home, tmp_path), quiet)
    see_the_same(tmp_path, unbroken)


@pytest.fixture
def start(ragged_home, commands):
    """start(output, **settings): the command, as a process."""

    def started(output, **settings):
        settings = {**SETTINGS, "cache": ragged_home / "cache", "output": output, **settings}
        options = [f"--{name.replace('_', '-')}={value}" for name, value in settings.items()]
        return commands.start("train-student", *options)

    return started


def wait_for(process, output, lines):
    """Until the run has logged so many lines."""
    deadline = time.monotonic() + 120
    path = output / "metrics.jsonl"
    while process.poll() is None and time.monotonic() < deadline:
        if path.exists() and path.read_bytes().count(b"\n") >= lines:
            return
        time.sleep(0.01)
    raise AssertionError(process.communicate())


def test_the_command_says_that_it_was_terminated_and_exits_with_143(start, tmp_path):
    """Schedulers tell by the status whether to start the same command again."""
    process = start(tmp_path / "out", steps=100_000, save_every=100_000, eval_every=100_000)
    wait_for(process, tmp_path / "out", 5)
    process.terminate()
    _, said = process.communicate(timeout=60)
    assert process.returncode == 143
    assert said == "miniend: terminated; run the same command again to go on\n"
    (name,) = checkpoints(tmp_path / "out")
    assert int(name.removeprefix("step-")) == metrics(tmp_path / "out")[-1]["step"]


@pytest.mark.slow
def test_twenty_kills_at_random_moments_leave_no_trace(ragged_home, start, tmp_path):
    """kill -9, anywhere: among the steps, in evaluations, while a checkpoint, the best student or the model is written."""
    settings = {"steps": 120, "save_every": 3, "eval_every": 10}
    train_student(config(ragged_home, tmp_path / "unbroken", **settings), quiet)
    output, chance, kills, interesting = tmp_path / "killed", random.Random(0), 0, 0
    while kills < 20:
        process = start(output, **settings)
        begun = len(metrics(output)) if (output / "metrics.jsonl").exists() else 0
        try:
            wait_for(process, output, begun + chance.randint(1, 6))
        except AssertionError:
            assert process.returncode == 0, "it ended before it could be killed"
            shutil.rmtree(output)
            continue
        time.sleep(chance.random() * 0.1)
        process.kill()
        process.communicate()
        kills += 1
        interesting += bool(list(Path(output, "checkpoints").glob(".partial-*")))
        if (output / "model.safetensors").exists():
            see_the_same(output, tmp_path / "unbroken")
            shutil.rmtree(output)
    train_student(config(ragged_home, output, **settings), quiet)
    see_the_same(output, tmp_path / "unbroken")


def test_a_step_left_unlogged_is_logged_once_however_often_its_checkpoint_is_gone_on_from(
    ragged_home, unbroken, tmp_path, monkeypatch, handlers
):
    """Stopped in the evaluation of step 5, then twice killed before the next checkpoint: its line must not pile up."""
    with monkeypatch.context() as patched:
        patched.setattr(validation._Sums, "add", lambda *_a: os.kill(os.getpid(), signal.SIGTERM))
        with pytest.raises((Terminated, KeyError, ZeroDivisionError)), stoppable():
            train_student(config(ragged_home, tmp_path), quiet)
    handlers()
    assert checkpoints(tmp_path) == ["step-00000005"]
    one_step = train.train_step

    def killed(runs, batches, processes):
        if runs[0].state.step == 7:
            raise SystemExit
        return one_step(runs, batches, processes)

    for _ in range(2):
        with monkeypatch.context() as patched:
            patched.setattr(train, "train_step", killed)
            with pytest.raises(SystemExit):
                train_student(config(ragged_home, tmp_path), quiet)
        assert [line["step"] for line in metrics(tmp_path)] == [1, 2, 3, 4, 5, 6, 7]
    train_student(config(ragged_home, tmp_path), quiet)
    see_the_same(tmp_path, unbroken)


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_kill_in_the_middle_of_a_checkpoint_goes_on_from_the_one_before(
    ragged_home, unbroken, tmp_path, monkeypatch, moment
):
    """The one window in which a run has neither checkpoint would lose all of it."""
    from miniend.student_train.run import checkpoint

    rename = os.rename

    def dying(source, target):
        if Path(target).name == "step-00000008":
            if moment == "after":
                rename(source, target)
            raise SystemExit
        rename(source, target)

    with monkeypatch.context() as patched:
        patched.setattr(checkpoint.os, "rename", dying)
        with pytest.raises(SystemExit):
            train_student(config(ragged_home, tmp_path), quiet)
    said = []
    train_student(config(ragged_home, tmp_path), said.append)
    assert f"resumed at step {4 if moment == 'before' else 8}" in said
    see_the_same(tmp_path, unbroken)
