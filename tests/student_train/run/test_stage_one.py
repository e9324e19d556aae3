"""The student's own filters are trained once, before it learns from its teacher's, if it starts from a checkpoint."""

import json

import pytest
import torch
from safetensors.torch import load_file

from miniend.errors import RunMismatchError
from miniend.student_train.config import TrainConfig
from miniend.student_train.run.student_run import StudentRun
from miniend.student_train.train import train_students
from support.filtering import filtered_copy


@pytest.fixture(scope="module")
def home(layers_home, tmp_path_factory):
    return filtered_copy(layers_home, tmp_path_factory.mktemp("stage-one"))


def settings(home, output, **more):
    start = {"init": str(home / "teacher"), "objective": "ted", "filter_steps": 5}
    common = {"cache": home / "cache", "output": output, "steps": 4, "batch_size": 4, "device": "cpu", "save_every": 2}
    return TrainConfig(**{**common, **start, "optimizer": "adamw", "learning_rate": 1e-3, **more})


def trained(home, output, **more):
    lines = []
    train_students([settings(home, output, **more)], log=lines.append)
    return lines, load_file(output / "projections.safetensors"), load_file(output / "model.safetensors")


def test_filters_of_a_start_are_trained_and_those_of_fresh_weights_are_random(home, tmp_path):
    """Trained filters explain more of the teacher's at the first step than random ones of the same student."""
    first = {}
    for name, more in {"trained": {}, "random": {"filter_steps": 0}, "fresh": {"init": None, "size": "4L32H"}}.items():
        lines, *_ = trained(home, tmp_path / name, steps=1, save_every=1, log_every=1, **more)
        line = json.loads((tmp_path / name / "metrics.jsonl").read_text().splitlines()[0])
        first[name] = line["decoder_filtered"], any("start at random" in line for line in lines)
    assert first["trained"][0] < first["random"][0]
    assert [said for _, said in first.values()] == [False, False, True]


def test_a_run_that_goes_on_has_the_filters_of_the_unbroken_one(home, tmp_path, monkeypatch):
    """A resumed run must not train them again: they have learned since."""
    _, *unbroken = trained(home, tmp_path / "unbroken")

    class KilledError(Exception):
        pass

    saved, count = StudentRun.save, []

    def once(run):
        saved(run)
        count.append(run.state.step)
        raise KilledError

    monkeypatch.setattr(StudentRun, "save", once)
    with pytest.raises(KilledError):
        trained(home, tmp_path / "broken")
    monkeypatch.setattr(StudentRun, "save", saved)
    monkeypatch.setattr(
        "miniend.student_train.run.student_run.train_own_filters", lambda *_: pytest.fail("trained again")
    )
    _, *resumed = trained(home, tmp_path / "broken")
    assert count == [2]
    for ours, theirs in zip(resumed, unbroken, strict=True):
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_other_filters_are_another_run(home, layers_home, tmp_path):
    """The filters are data beside the shards: the cache's own digest does not tell them apart."""
    trained(home, tmp_path / "student", steps=1)
    other = filtered_copy(layers_home, tmp_path / "other", filter_steps=7)
    with pytest.raises(RunMismatchError, match="the filters of --cache"):
        trained(other, tmp_path / "student", steps=1, cache=other / "cache", init=str(home / "teacher"))
