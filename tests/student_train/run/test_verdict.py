"""The verdict of a training: what each combination of losses and sizes is called, and that a run says it."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miniend.student_train.config import TrainConfig
from miniend.student_train.run.verdict import Judged, in_words, larger_than_its_teacher, verdict
from miniend.student_train.train import train_students

GOOD_STUDENT = Judged(student=5.41, teacher=4.86, unigram=6.27, parameters=10**7, teacher_parameters=6 * 10**7)
losses = st.floats(0.01, 20)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, "validation 5.41 nats (teacher 4.86, word frequencies 6.27): good, 61 % of the way to the teacher"),
        ({"student": 6.2}, "5 % of the way to the teacher; more --steps bring it closer"),
        ({"student": 6.27}, "not yet: give it more --steps, or a higher --learning-rate"),
        ({"student": 8.56}, "not yet: give it more --steps, or a higher --learning-rate"),
        ({"student": 4.86}, "good, as close to the text as its teacher"),
        ({"parameters": 6 * 10**7}, "larger than its teacher (60 million parameters against 60 million)"),
        ({"teacher": None}, "validation 5.41 nats (word frequencies 6.27): better than word frequencies"),
        ({"teacher": 6.3}, "better than word frequencies"),
        ({"teacher_parameters": None, "teacher": None}, "better than word frequencies"),
    ],
)
def test_a_student_is_called_what_it_is(changed, said):
    assert verdict(replace(GOOD_STUDENT, **changed)).endswith(said)


@given(losses, st.none() | losses, losses, st.integers(1, 10**12), st.none() | st.integers(1, 10**12))
def test_every_verdict_is_one_line_and_good_only_above_half_of_the_way(student, teacher, unigram, own, theirs):
    """`good` is a promise: the student is smaller than its teacher, beats word frequencies, and is nearer to the teacher."""
    line = verdict(Judged(student=student, teacher=teacher, unigram=unigram, parameters=own, teacher_parameters=theirs))
    assert "\n" not in line
    assert line.isprintable()
    if ": good" in line:
        assert theirs is None or own < theirs
        assert student < unigram
        assert unigram - student >= student - teacher - 1e-9


def test_parameters_are_compared_and_shown_in_millions():
    assert larger_than_its_teacher(99, 100) is None
    assert larger_than_its_teacher(100, 100)
    assert [in_words(count) for count in (45_600, 1_967_872, 60_506_624, 11_135_332_352)] == [
        "45,600",
        "1.97 million",
        "60.5 million",
        "11,135 million",
    ]


def test_a_training_ends_with_its_verdict_and_warns_of_a_student_larger_than_its_teacher(ragged_home, tmp_path):
    """The tiny teacher has 2+2 layers of d_model 32 or so; 2L96H is larger, and the proposed size is not."""
    settings = {"cache": ragged_home / "cache", "steps": 1, "batch_size": 4, "device": "cpu"}
    said: dict[str | None, list[str]] = {}
    for size in (None, "2L96H"):
        lines = said.setdefault(size, [])
        train_students([TrainConfig(**settings, size=size, output=tmp_path / str(size))], log=lines.append)
    verdicts = {size: [line for line in lines if line.startswith("validation ")] for size, lines in said.items()}
    assert {size: len(found) for size, found in verdicts.items()} == {None: 1, "2L96H": 1}
    assert "larger than its teacher" in verdicts["2L96H"][0]
    assert "larger" not in verdicts[None][0]
    warned = {size: any("warning: the student is larger" in line for line in lines) for size, lines in said.items()}
    assert warned == {None: False, "2L96H": True}


def test_an_objective_that_does_not_train_the_head_does_not_have_a_verdict(ragged_home, tmp_path):
    settings = {
        "cache": ragged_home / "cache",
        "steps": 1,
        "batch_size": 4,
        "device": "cpu",
        "objective": "minilm",
        "size": "2L32H",
    }
    lines: list[str] = []
    train_students([TrainConfig(**settings, output=tmp_path / "student")], log=lines.append)
    assert any(line.startswith("trained 1 steps") for line in lines)
    assert not [line for line in lines if line.startswith("validation ")]
