"""What a dump says of its teacher."""

import math

import pytest

from miniend.storage.documents.calibration import Calibration
from miniend.storage.documents.parse import parse
from miniend.storage.documents.plan import Plan
from miniend.teacher_dump.calibration.hints import calibration_lines
from support.documents import changed, golden


def lines(ends, loss=5.0, unigram=7.0, logits="hybrid", objective="span-corruption"):
    plan = changed(golden(Plan), "objective", kind=objective)
    if not logits:
        plan = changed(plan, "signals", logits=None)
    teacher = {"cross_entropy": {"total": 1000 * loss, "count": 1000}, "unigram_entropy": unigram, "unigram_tokens": 9}
    calibration = changed(golden(Calibration), teacher=teacher | ends, sites=[], hidden=[])
    return list(calibration_lines(parse(Calibration, calibration, "here"), parse(Plan, plan, "here")))


def of_ends(mean):
    return {"end_cross_entropy": {"total": 20 * mean, "count": 20}}


def test_a_teacher_that_does_not_expect_the_ends_is_warned_about():
    """It was trained on targets of another length; 20 of 1,000 targets are ends, ln 50 = 3.91."""
    (_, warning) = lines(of_ends(10.9))
    assert warning.startswith(
        "warning: the teacher predicts EOS worse than its frequency would (10.90 nats against 3.91). Was it trained"
    )
    assert "--input-length" in warning


@pytest.mark.parametrize("ends", [of_ends(0.0), of_ends(math.log(50) - 0.01), {}, {"end_cross_entropy": None}])
def test_nothing_is_said_of_ends_that_it_expects_or_that_were_not_measured(ends):
    assert len(lines(ends)) == 1


def test_without_logits_nobody_learns_where_the_teacher_ends():
    assert len(lines(of_ends(10.9), logits=None)) == 1


def test_pairs_are_asked_about_the_length_of_their_targets():
    (_, warning) = lines(of_ends(10.9), objective="pairs")
    assert "--target-length" in warning
    assert "--mean-noise-span-length" not in warning
