"""Checkpoints: what is read is what was saved, whatever was killed or damaged in between."""

import errno
import json
import os
import re
import signal

import pytest
import torch

from miniend.errors import TrainingError
from miniend.student_train.run.checkpoint import latest_checkpoint, save_checkpoint

CHILD = """
import os, signal, sys
from pathlib import Path
import torch
from miniend.student_train.run import checkpoint

folder, point, keep = Path(sys.argv[1]), sys.argv[2], 1

def kill(*_args, **_more):
    os.kill(os.getpid(), signal.SIGKILL)

checkpoint.save_checkpoint(folder, 1, {"weight": torch.full((3,), 1.0)}, {"at": 1}, keep)
module, name = {"tensors": (checkpoint, "save_file"), "digest": (checkpoint, "_document_digest"),
                "flush": (checkpoint, "flush"), "rename": (os, "rename"), "removal": (checkpoint.shutil, "rmtree")}[point]
setattr(module, name, kill)
checkpoint.save_checkpoint(folder, 2, {"weight": torch.full((3,), 2.0)}, {"at": 2}, keep)
"""


def tensors(value):
    return {"weight": torch.full((2, 3), float(value)), "step": torch.tensor(value)}


def refuse(path):
    raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT), str(path))


def test_a_checkpoint_reads_back_exactly(tmp_path):
    """Every bit counts when a resumed run must equal an unbroken one."""
    state = {"epoch": 3, "loss": 0.1 + 0.2, "nested": {"order": [1, 2]}, "numbered": {10: "a", 9: "b"}, "pair": (1, 2)}
    values = {"odd": torch.randn(4, 5).T, "half": torch.randn(3).bfloat16(), "count": torch.tensor(2**40)}
    path = save_checkpoint(tmp_path / "run", 100, values, state)
    assert path == tmp_path / "run" / "step-00000100"
    found = latest_checkpoint(tmp_path / "run")
    assert (found.step, found.path) == (100, path)
    assert found.state == json.loads(json.dumps(state))
    assert set(found.tensors) == set(values)
    assert all(torch.equal(found.tensors[key], values[key]) for key in values)


def test_nothing_saved_is_none(tmp_path):
    """The first start of a run is no error."""
    assert latest_checkpoint(tmp_path / "missing") is None
    assert latest_checkpoint(tmp_path) is None


@pytest.mark.parametrize("keep", [1, 2])
def test_only_the_newest_are_kept(tmp_path, keep):
    """A run of a week must not fill the disk; steps sort as numbers, not as text."""
    for step in (5, 99_999_999, 100_000_000):
        save_checkpoint(tmp_path, step, tensors(step), {}, keep=keep)
    assert len(list(tmp_path.iterdir())) == keep
    assert latest_checkpoint(tmp_path).step == 100_000_000


@pytest.mark.parametrize(
    ("point", "step"), [("tensors", 1), ("digest", 1), ("flush", 1), ("rename", 1), ("removal", 2)]
)
def test_a_kill_leaves_the_old_or_the_new_checkpoint(commands, tmp_path, point, step):
    """Half a checkpoint would be trained on, or would stop a run that has a good one before it."""
    folder = tmp_path / "run"
    assert commands.python(CHILD, folder, point, cwd=str(tmp_path)).wait() == -signal.SIGKILL
    found = latest_checkpoint(folder)
    assert (found.step, found.state) == (step, {"at": step})
    assert torch.equal(found.tensors["weight"], torch.full((3,), float(step)))
    save_checkpoint(folder, 3, tensors(3), {})
    assert [path.name for path in folder.iterdir()] == ["step-00000003"]


@pytest.mark.parametrize("name", ["state.safetensors", "state.json"])
def test_a_flipped_bit_is_refused_wherever_it_is(tmp_path, name):
    """Going on from wrong weights, or silently from an older checkpoint, gives a run that nobody can reproduce."""
    save_checkpoint(tmp_path, 1, tensors(1), {"seed": 1}, keep=2)
    path = save_checkpoint(tmp_path, 2, tensors(2), {"seed": 1}, keep=2) / name
    whole = path.read_bytes()
    for place in range(0, len(whole), 7):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        if name == "state.json" and whole[place : place + 1].isspace():
            continue  # may well turn into other white space, which carries nothing
        with pytest.raises(TrainingError, match=re.escape(str(path.parent))):
            latest_checkpoint(tmp_path)
    for damage in (whole[:-3], b""):
        path.write_bytes(damage)
        with pytest.raises(TrainingError, match="delete that folder"):
            latest_checkpoint(tmp_path)


def test_a_missing_file_is_refused(tmp_path):
    """A folder without its weights is damage, not a fresh start."""
    (save_checkpoint(tmp_path, 2, tensors(2), {}) / "state.safetensors").unlink()
    with pytest.raises(TrainingError, match="delete that folder"):
        latest_checkpoint(tmp_path)


def test_a_checkpoint_of_a_later_version_is_not_called_damaged(tmp_path, monkeypatch):
    """Deleting it would throw the run away."""
    monkeypatch.setattr("miniend.student_train.run.checkpoint.VERSION", 2)
    save_checkpoint(tmp_path, 2, tensors(2), {})
    monkeypatch.undo()
    with pytest.raises(TrainingError, match="version 2"):
        latest_checkpoint(tmp_path)


def test_saving_a_step_again_keeps_what_is_there(tmp_path):
    """The last step is often both a periodic and a final save; replacing it has a moment with neither."""
    first = save_checkpoint(tmp_path, 7, tensors(7), {"first": True})
    assert save_checkpoint(tmp_path, 7, tensors(8), {"first": False}) == first
    assert latest_checkpoint(tmp_path).state == {"first": True}


def test_saving_a_step_again_removes_what_a_failed_removal_left(tmp_path, monkeypatch):
    """A disk that refuses once must not keep two checkpoints of a large model for ever."""
    save_checkpoint(tmp_path, 1, tensors(1), {})
    with monkeypatch.context() as patched:
        patched.setattr("miniend.student_train.run.checkpoint.shutil.rmtree", refuse)
        with pytest.raises(OSError):
            save_checkpoint(tmp_path, 2, tensors(2), {})
    (tmp_path / ".partial-00000003").mkdir()
    assert save_checkpoint(tmp_path, 2, tensors(2), {}) == tmp_path / "step-00000002"
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000002"]


@pytest.mark.parametrize(("step", "keep"), [(-1, 1), (1, 0)])
def test_arguments_that_would_lose_checkpoints_are_refused(tmp_path, step, keep):
    """`keep=0` would delete what was just saved."""
    with pytest.raises(ValueError):
        save_checkpoint(tmp_path, step, tensors(1), {}, keep=keep)
