"""Two processes train what one trains: the same losses, whatever the objective; torchrun starts and stops them."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from typing import ClassVar

import pytest
import torch
from accelerate import accelerator, tracking
from accelerate.tracking import GeneralTracker
from accelerate.utils import LoggerType

from miniend.errors import ConfigurationError
from miniend.student_train import train
from miniend.student_train.config import TrainConfig, each_student
from miniend.student_train.run.processes import Processes
from miniend.student_train.run.tracker_run import tracker_settings
from miniend.student_train.train import train_students
from support.launchers import WANTED
from support.runs import metrics, same_weights, weights

TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
SETTINGS = {
    "steps": 6,
    "batch_size": 8,
    "gradient_accumulation_steps": 2,
    "log_every": 1,
    "save_every": 4,
    "eval_every": 3,
    "warmup_steps": 2,
    "relation_heads": 4,
    "device": "cpu",
}
GROUPS = {
    "whole": ("ragged_home", ["scratch", "logits", "minilm", "implicit", "miniend-d", "miniend-e"], {}),
    "without logits": ("ragged_home", ["miniend-d", "miniend-e"], {"logits": False, "cross_relation": "qq_kk_vv"}),
    "states": ("layers_home", ["hidden", "direct", "lwd"], {"mapping": "uniform+last", "projection": "always"}),
}
"""The cache, the objectives and the settings of the students of one pass."""


def command(cache, output, objectives, **settings):
    settings = {**SETTINGS, "size": "2L32H", "cache": cache, "output": output, **settings}
    without = [] if settings.pop("logits", True) else ["--no-logits"]
    options = [f"--{name.replace('_', '-')}={value}" for name, value in settings.items()]
    return ["train-student", *options, *without, *(f"--objective={name}" for name in objectives)]


def start(arguments):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.Popen(
        [sys.executable, *TORCHRUN, "-m", "miniend", *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def end(process):
    try:
        return process.communicate(timeout=180)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise


@pytest.mark.parametrize("group", ["whole", "without logits", pytest.param("states", marks=pytest.mark.slow)])
def test_two_processes_have_the_losses_of_one(request, commands, tmp_path, group):
    """A mean of means, a gradient summed twice, or a frozen parameter that is waited for: each shows here."""
    home, objectives, settings = GROUPS[group]
    cache = request.getfixturevalue(home) / "cache"
    two, one = tmp_path / "two", tmp_path / "one"
    processes = commands.ranks(2, *command(cache, two, objectives, **settings))
    whole = TrainConfig(cache=cache, output=one, **{**SETTINGS, **settings, "gradient_accumulation_steps": 1})
    train_students(each_student(whole, ["2L32H"], objectives), lambda _line: None)
    ended = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], ended
    said = [out.count("trained 6 steps") for out, _ in ended]
    assert said == [len(objectives), 0], "one process speaks"
    for folder in sorted(one.iterdir()):
        ours, theirs = metrics(folder), metrics(two / folder.name)
        assert [line["step"] for line in theirs] == list(range(1, 7))
        for line, other in zip(ours, theirs, strict=True):
            assert other == pytest.approx(line, rel=2e-4), folder.name
        for name, tensor in weights(folder).items():
            assert torch.allclose(weights(two / folder.name)[name], tensor, atol=2e-4), name


def test_a_signal_to_two_processes_ends_in_one_checkpoint_from_which_they_go_on(ragged_home, tmp_path):
    """The processes hear of it at different moments; stopping at different steps would leave one waiting for ever."""
    output, settings = tmp_path / "out", {"steps": 4000, "log_every": 1, "save_every": 4000, "eval_every": 4000}
    process = start(command(ragged_home / "cache", output, ["scratch"], **settings))
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and (
        not (output / "metrics.jsonl").exists() or len((output / "metrics.jsonl").read_bytes()) < 2000
    ):
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGTERM)
    out, err = end(process)
    assert process.returncode != 0
    assert err.count("miniend: terminated; run the same command again to go on") == 2, err
    saved = [path.name for path in (output / "checkpoints").iterdir()]
    assert len(saved) == 1, (saved, out, err)
    assert int(saved[0].removeprefix("step-")) == metrics(output)[-1]["step"] > 0


def test_a_batch_that_does_not_divide_among_the_processes_is_refused(ragged_home, commands, tmp_path):
    """Silently dropping examples, or weighing processes unequally, would be another run."""
    settings = {"batch_size": 6, "gradient_accumulation_steps": 2}
    for process in commands.ranks(2, *command(ragged_home / "cache", tmp_path / "out", ["scratch"], **settings)):
        _, err = process.communicate()
        assert "--batch-size 6 does not divide among 2 processes with --gradient-accumulation-steps 2" in err
        assert process.returncode == 2
    assert not (tmp_path / "out").exists()


def test_an_unknown_tracker_is_refused_with_those_that_are_there(tmp_path):
    """accelerate drops trackers that are not installed with a word that nobody reads."""
    with pytest.raises(ConfigurationError, match=r"--tracker 'abacus' is not installed or unknown .*available here"):
        Processes("cpu", ["abacus"])


def test_what_a_launcher_asks_for_does_not_reach_a_training(ragged_home, tmp_path, monkeypatch):
    """An accelerate config of somebody else would choose number format, sharding and device, and run.json would not say so."""
    said, settings = [], {**SETTINGS, "size": "2L32H", "steps": 2}
    for name in ("quiet", "launched"):
        config = TrainConfig(cache=ragged_home / "cache", output=tmp_path / name, **settings)
        train_students([config], said.append)
        assert any("ACCELERATE_USE_FSDP=true" in line for line in said) == (name == "launched")
        for variable, value in WANTED.items():
            monkeypatch.setenv(variable, value)
    assert same_weights(tmp_path / "quiet", tmp_path / "launched")


class Notebook(GeneralTracker):
    """A tracker that is installed."""

    name, requires_logging_directory, main_process_only = "wandb", False, True
    tracker = None
    lines: ClassVar[list] = []
    runs: ClassVar[list] = []

    def __init__(self, project, **told):
        super().__init__()
        self.lines.append(project)
        self.runs.append(told)

    def store_init_configuration(self, values):
        self.lines.append(values)

    def log(self, values, step, **_rest):
        self.lines.append((step, values))

    def finish(self):
        self.lines.append("finished")


@pytest.fixture
def notebook(monkeypatch):
    """An empty notebook in the place of wandb."""
    monkeypatch.setattr(tracking, "_available_trackers", [LoggerType.WANDB])
    monkeypatch.setitem(tracking.LOGGER_TYPE_TO_CLASS, "wandb", Notebook)
    monkeypatch.setattr(accelerator, "LOGGER_TYPE_TO_CLASS", tracking.LOGGER_TYPE_TO_CLASS)
    Notebook.lines.clear()
    Notebook.runs.clear()


def test_a_resumed_run_goes_on_in_its_tracker(ragged_home, tmp_path, monkeypatch, notebook):
    """Killed and resumed, wandb showed two runs with overlapping steps, both without a name."""
    settings = {**SETTINGS, "size": "2L32H", "objective": "scratch", "tracker": ("wandb",)}
    step = train.train_step

    def dying(runs, batches, processes):
        if runs[0].state.step == 5:
            raise SystemExit
        return step(runs, batches, processes)

    for output in ("first", "other"):
        config = TrainConfig(cache=ragged_home / "cache", output=tmp_path / output, **settings)
        monkeypatch.setattr(train, "train_step", dying)
        with pytest.raises(SystemExit):
            train_students([config], lambda _line: None)
    monkeypatch.setattr(train, "train_step", step)
    train_students([replace(config, output=tmp_path / "first")], lambda _line: None)
    first, other, again = Notebook.runs
    assert again == first
    assert first["id"] != other["id"]
    assert (first["name"], first["resume"]) == ("first", "allow")


def test_a_student_that_goes_on_alone_has_a_run_of_its_own(tmp_path):
    """Its numbers have no prefix then; a damaged file costs the old run, not the training."""
    outputs = [tmp_path / "students" / name for name in ("a", "b")]
    for output in outputs:
        output.mkdir(parents=True)
    together = tracker_settings(outputs)["wandb"]
    assert together["name"] == "students"
    alone = tracker_settings(outputs[:1])["wandb"]
    assert (alone["name"], alone["id"] == together["id"]) == ("a", False)
    assert tracker_settings(outputs)["wandb"] == together
    (outputs[0] / "tracker.json").write_text("[1]")
    assert tracker_settings(outputs)["wandb"]["id"] != together["id"]


def test_a_tracker_hears_what_is_logged(ragged_home, tmp_path, notebook):
    """Students of one pass are told apart; the settings go with them."""
    whole = TrainConfig(cache=ragged_home / "cache", output=tmp_path, tracker=("wandb",), **SETTINGS)
    train_students(each_student(whole, ["2L32H"], ["scratch", "minilm"]), lambda _line: None)
    project, settings, *lines, end = Notebook.lines
    assert (project, end) == ("miniend", "finished")
    assert settings["2L32H-scratch/objective"] == "scratch"
    assert settings["2L32H-minilm/batch_size"] == "8"
    told = {step: values for step, values in lines if "2L32H-minilm/loss" in values}
    for line in metrics(tmp_path / "2L32H-minilm"):
        assert {f"2L32H-minilm/{key}": value for key, value in line.items() if key != "step"}.items() <= told[
            line["step"]
        ].items()
    assert len(lines) == 12
