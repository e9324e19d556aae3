"""Students that are a prefix of a sorted teacher: which part of it, and what is refused."""

import pytest
import torch

from miniend.errors import ConfigurationError
from miniend.models.pruning.prefix import cut_model
from miniend.models.pruning.widths import Widths, widths_of
from miniend.models.save import save_student
from miniend.models.start import start_student
from support.prunable import prunable
from support.students import FAMILY_NAMES, logits, teacher_of


def start(folder, kind="t5", **asked):
    """The student that is asked for beside a teacher of the tests."""
    request = {
        "size": None,
        "proposed_size": "2L32H",
        "teacher_width": 32,
        "seed": 0,
        "teacher_config": teacher_of(kind),
        "tied": False,
        **asked,
    }
    return start_student(f"pruned:{folder}", request)


def sorted_teacher(folder, kind):
    """A full-size model in a folder, as prune-teacher leaves it, and the model as it was saved."""
    model = prunable(kind, False).float()
    save_student(model, folder, {}, "")
    (folder / "pruning.json").write_text("{}")
    return model


@pytest.mark.parametrize("kind", FAMILY_NAMES)
def test_a_student_starts_as_the_prefix_that_the_fraction_keeps(tmp_path, kind):
    """Any other heads, and a head scale that is lost, show in the logits."""
    model = sorted_teacher(tmp_path, kind)
    student = start(tmp_path, kind, keep=0.5)
    assert widths_of(student.config) == Widths(2, 128)
    assert student.dtype == torch.float32
    assert torch.equal(logits(student), logits(cut_model(model, Widths(2, 128))))
    assert torch.equal(logits(start(tmp_path, kind, keep=1.0)), logits(model))


def test_what_does_not_belong_together_is_refused(tmp_path):
    """The first heads of an unsorted teacher are any heads, and a size beside the fraction would be ignored."""
    sorted_teacher(tmp_path, "t5")
    with pytest.raises(ConfigurationError, match=r"--keep 0\.5"):
        start(tmp_path)
    with pytest.raises(ConfigurationError, match="leave --size 2L32H out"):
        start(tmp_path, keep=0.5, size="2L32H")
    with pytest.raises(ConfigurationError, match="at most 1"):
        start(tmp_path, keep=1.5)
    (tmp_path / "pruning.json").unlink()
    with pytest.raises(ConfigurationError, match=r"prune-teacher wrote, with pruning\.json"):
        start(tmp_path, keep=0.5)
    with pytest.raises(ConfigurationError, match="nowhere"):
        start(tmp_path / "nowhere", keep=0.5)
