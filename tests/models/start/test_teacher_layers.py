"""Students that start from their teacher's layers: which ones, all of their weights, and what does not fit."""

import pytest
import torch

from miniend.errors import ConfigurationError
from miniend.models.families import family_of
from miniend.models.save import save_student
from miniend.models.size import student_config
from miniend.models.start.fresh import build_student
from miniend.models.start.teacher_layers import init_from_teacher
from support.students import FAMILY_NAMES, fresh, logits, perturb, teacher_of

BOTH = pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
ALL = pytest.mark.parametrize("kind", FAMILY_NAMES)


@ALL
@BOTH
def test_a_student_as_deep_as_its_teacher_starts_as_its_teacher(tmp_path, kind, tied):
    """Any weight that is not copied, and any wrong scale, shows here."""
    teacher = perturb(
        build_student(student_config("3E2D64H", teacher_of(kind)) | {"d_kv": 16, "num_heads": 6}, tied, 7)
    )
    save_student(teacher, tmp_path, {}, "")
    student = init_from_teacher(student_config("3E2D64H", teacher_of(kind)), tmp_path)
    assert family_of(student).tied(student) == tied
    assert student.config.d_kv == 16
    assert family_of(student).head_scale(student) == family_of(teacher).head_scale(teacher)
    assert torch.equal(logits(student), logits(teacher))


@ALL
def test_layers_are_spaced_evenly_and_end_with_the_last(tmp_path, kind):
    """The distilled site is the last layer; the relative position bias exists in the first block alone (T5, mT5)."""
    teacher = perturb(fresh(kind, False, "6E4D64H"))
    save_student(teacher, tmp_path, {}, "")
    student = init_from_teacher(student_config("3E2D64H", teacher_of(kind)), tmp_path)
    for stack, layers in (("encoder", (1, 3, 5)), ("decoder", (1, 3))):
        ours, theirs = getattr(student, stack).block, getattr(teacher, stack).block
        for block, layer in zip(ours, layers, strict=True):
            assert torch.equal(
                block.layer[-1].DenseReluDense.wo.weight, theirs[layer].layer[-1].DenseReluDense.wo.weight
            )
        bias_from = layers[0] if kind == "umt5" else 0
        bias = [blocks.layer[0].SelfAttention.relative_attention_bias.weight for blocks in (ours[0], theirs[bias_from])]
        assert torch.equal(*bias)


def test_students_that_do_not_fit_their_teacher_are_told_what_would(tmp_path):
    """A cropped or repeated layer would look like a head start."""
    save_student(fresh("t5", True, "2L96H"), tmp_path, {}, "")
    with pytest.raises(ConfigurationError, match="2L96H"):
        init_from_teacher(student_config("2L64H", teacher_of("t5")), tmp_path)
    with pytest.raises(ConfigurationError, match=r"2E1D96H"):
        init_from_teacher(student_config("2E1D64H", teacher_of("t5")), tmp_path)
    with pytest.raises(ConfigurationError, match="at most the teacher's depth"):
        init_from_teacher(student_config("3L96H", teacher_of("t5")), tmp_path)
