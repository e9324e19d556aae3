"""The gradient's norm by part: nothing is counted twice, nothing is left out, and each part is what its name says."""

import json
import math

import pytest
import torch

from miniend.models.families import FAMILIES, SpecialIds, family_of
from miniend.models.start.fresh import build_student
from miniend.student_train.config import TrainConfig
from miniend.student_train.distillation import TERMS_PART, Distillation
from miniend.student_train.run.gradient_norms import PREFIX, gradient_norms
from miniend.student_train.terms.labels import Labels
from miniend.student_train.train import train_student

CONFIG = {
    "vocab_size": 50,
    "d_model": 16,
    "d_kv": 4,
    "d_ff": 32,
    "num_heads": 4,
    "num_layers": 2,
    "num_decoder_layers": 3,
    "pad_token_id": 0,
    "eos_token_id": 1,
    "decoder_start_token_id": 0,
}
STUDENTS = {
    "T5": ({"model_type": "t5", "feed_forward_proj": "relu"}, True),
    "untied T5 v1.1": ({"model_type": "t5", "feed_forward_proj": "gated-gelu"}, False),
    "mT5": ({"model_type": "mt5", "feed_forward_proj": "gated-gelu"}, False),
    "umT5": ({"model_type": "umt5", "feed_forward_proj": "gated-gelu"}, True),
}


class Weighted(Labels):
    """A term with a parameter of its own."""

    def __init__(self):
        super().__init__()
        self.own = torch.nn.Parameter(torch.tensor([3.0, 4.0]))


def norms_of(student, term=None):
    """The gradient norms of a student by part."""
    terms = {"labels": term or Labels()}
    return gradient_norms(Distillation(student, terms, {"labels": 1.0}, SpecialIds(start=0, pad=0)))


def student_with_gradients(kind):
    settings, tied = STUDENTS[kind]
    student = build_student(CONFIG | settings, tied, seed=0)
    ids = torch.arange(3, 15).view(2, 6)
    student(input_ids=ids, labels=ids).loss.backward()
    return student


@pytest.mark.parametrize("kind", STUDENTS)
def test_the_squares_of_the_parts_add_up_to_the_whole(kind):
    """A parameter that is counted twice or forgotten makes one part look more, or less, reached than it is."""
    student = student_with_gradients(kind)
    found = norms_of(student)
    parts = [part for part in family_of(student).parts if part != "head" or not STUDENTS[kind][1]]
    assert list(found) == [PREFIX + part for part in parts]
    whole = math.sqrt(sum(float(p.grad.double().square().sum()) for p in student.parameters()))
    assert math.sqrt(sum(norm**2 for norm in found.values())) == pytest.approx(whole, rel=1e-5)
    assert all(norm > 0 for norm in found.values())


@pytest.mark.parametrize("kind", STUDENTS)
def test_each_part_is_made_of_the_modules_that_it_is_named_for(kind):
    """Written from the modules, not from their names: two sublayers that swap would pass every sum."""
    student = student_with_gradients(kind)
    modules = {
        "embedding": [student.shared],
        "encoder": [student.encoder.block, student.encoder.final_layer_norm],
        "decoder_self": [block.layer[0] for block in student.decoder.block],
        "decoder_cross": [block.layer[1] for block in student.decoder.block],
        "decoder_feed_forward": [
            *(block.layer[2] for block in student.decoder.block),
            student.decoder.final_layer_norm,
        ],
        "head": [student.lm_head],
    }
    assert all(hasattr(layer, "EncDecAttention") for layer in modules["decoder_cross"])
    found = norms_of(student)
    for name in found:
        parameters = [p for module in modules[name.removeprefix(PREFIX)] for p in module.parameters()]
        expected = torch.cat([p.grad.flatten() for p in parameters]).norm()
        assert found[name] == pytest.approx(float(expected), rel=1e-5)


def test_a_part_without_gradients_is_left_out():
    """A zero would read as a term that has converged."""
    student = student_with_gradients("untied T5 v1.1")
    student.lm_head.weight.grad = None
    assert PREFIX + "head" not in norms_of(student)
    student.zero_grad(set_to_none=True)
    assert norms_of(student) == {}


def test_the_terms_own_parameters_are_a_part_of_their_own():
    """Counted with the student they would say that a part of it moves which does not; left out, the squares do not add up."""
    student, term = student_with_gradients("T5"), Weighted()
    plain = norms_of(student)
    assert norms_of(student, term) == plain
    term.own.square().sum().backward()
    assert norms_of(student, term) == {**plain, PREFIX + TERMS_PART: pytest.approx(10.0)}


@pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda family: family.name)
def test_a_parameter_of_another_model_is_refused(family):
    """Counted nowhere, it would be missing from every sum."""
    with pytest.raises(ValueError, match=r"decoder\.block\.0\.layer\.3"):
        family.part_of("decoder.block.0.layer.3.DenseReluDense.wo.weight")


def test_the_log_has_them_before_clipping_and_where_it_logs(span_home, tmp_path):
    """Norms after clipping are the limit itself, whatever happens; norms of every step cost time that nobody sees."""
    settings = {"size": "2L32H", "steps": 4, "batch_size": 4, "log_every": 2, "eval_every": 3, "device": "cpu"}
    config = TrainConfig(cache=span_home / "cache", output=tmp_path / "out", max_grad_norm=1e-3, **settings)
    train_student(config, lambda _line: None)
    lines = [json.loads(line) for line in (tmp_path / "out" / "metrics.jsonl").read_text().splitlines()]
    parts = {line["step"]: [line[name] for name in line if name.startswith(PREFIX)] for line in lines}
    assert {step: len(found) for step, found in parts.items()} == {1: 5, 2: 5, 3: 0, 4: 5}
    for line in lines:
        if line["step"] != 3:
            assert line["gradient_norm"] == pytest.approx(math.hypot(*parts[line["step"]]), rel=1e-5)
            assert line["gradient_norm"] > 1e-3
