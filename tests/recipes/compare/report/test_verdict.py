"""The words of a decision: an engineer who reads only the first lines must not be misled."""

import pytest

from miniend.recipes.compare.report.verdict import seeds_needed, verdict

TWO_SIZES = {"sizes": ["1L32H", "2L32H"]}
CLEAR = {"scratch": [70.0, 74.0, 72.2], "miniend-e": [80.0, 84.1, 82.0]}


@pytest.fixture
def lead(world):
    """lead(scores, **more): the first line and the reasons as one text."""

    def build(scores, **more):
        found = verdict(*world(scores, **more)).lead()
        return found.text, "\n".join(found.reasons)

    return build


def test_a_clear_winner_is_named_with_the_reason_and_the_margin(lead):
    first, reasons = lead(CLEAR, seeds=3)
    assert first.startswith(
        "Take 1L32H miniend-e, because its score is 82.0. The next best, 1L32H scratch, is behind by 10.0 ± "
    )
    assert (
        "The score is the plain mean of sst2 accuracy. Differences are paired over 3 seeds of distillation." in reasons
    )


def test_noise_is_called_that_and_the_seeds_that_could_show_it_are_said(lead):
    first, reasons = lead({"scratch": [70.0, 74.0, 71.0], "miniend-e": [71.0, 73.5, 73.0]}, seeds=3)
    assert first == "These seeds do not show a difference between 1L32H miniend-e and 1L32H scratch."
    assert "The difference is not shown (0.8 ± 3.1); if it is real, about 12 seeds would show it." in reasons


def test_one_seed_decides_nothing(lead):
    first, reasons = lead({"scratch": [10.0], "miniend-e": [90.0]}, seeds=1)
    assert first.startswith("One seed decides nothing.")
    assert "The score of this seed is 90.0 for 1L32H miniend-e, 10.0 for 1L32H scratch." in reasons


def test_a_loss_of_two_seeds_does_not_decide_before_the_second_seed_is_evaluated(lead):
    scores = {"scratch": [70.0, None], "miniend-e": [71.0, None]}
    losses = {"scratch": [5.5, 5.7], "miniend-e": [5.0, 5.201]}
    first, reasons = lead(scores, entropies=losses, seeds=3)
    assert first == "One seed decides nothing, and one of 3 is finished."
    assert "This is not the end: 1 of 3 seeds are finished." in reasons


def test_a_report_before_the_end_says_so(lead):
    assert (
        "This is not the end: 2 of 3 seeds are finished."
        in lead({name: two[:2] for name, two in CLEAR.items()}, seeds=3)[1]
    )


def test_before_any_result_nothing_is_decided(lead):
    assert lead({}, seeds=1)[0].startswith("Nothing can be decided yet")


def test_a_row_without_a_rival_is_not_a_decision(lead):
    first, _ = lead({"scratch": [70.0, 71.0]}, rows={"scratch": None})
    assert first == "Only 1L32H scratch was compared, so this report does not decide between students."


def test_validation_loss_decides_where_the_score_does_not_and_both_are_said(lead):
    first, reasons = lead(
        {"scratch": [70.0, 74.0, 71.0], "miniend-e": [71.0, 73.5, 73.0]},
        entropies={"scratch": [5.5, 5.7, 5.61], "miniend-e": [5.0, 5.2, 5.1]},
        seeds=3,
    )
    assert first.startswith(
        "Take 1L32H miniend-e, because its validation loss is 5.100 nats. The next best, 1L32H scratch, is behind"
    )
    assert "The score does not tell them apart" in reasons
    assert (
        "The score decides first. Only among students that it does not tell apart, the validation loss decides."
        in reasons
    )


def test_where_the_loss_would_name_another_one_the_report_says_it(lead):
    losses = {"scratch": [4.0, 4.1, 4.2], "miniend-e": [5.0, 5.2, 5.1]}
    first, reasons = lead(CLEAR, entropies=losses, seeds=3)
    assert first.startswith("Take 1L32H miniend-e")
    assert "By validation loss another one is ahead: 1L32H scratch 4.100 nats, 1L32H miniend-e 5.100 nats." in reasons


def test_a_smaller_student_within_the_noise_of_a_larger_one_is_named_with_what_it_may_cost(lead):
    rows = {"rows": {"miniend-e": None}}
    first, reasons = lead(
        {"1L32H miniend-e": [79.0, 83.0, 82.0], "2L32H miniend-e": [80.0, 83.5, 81.5]}, seeds=3, **TWO_SIZES, **rows
    )
    assert first.startswith("These seeds do not show a difference between")
    assert (
        "1L32H miniend-e is smaller (2.0 times fewer multiply-adds), and its score is not shown to be worse than that of 2L32H "
        "miniend-e. It may be worse by up to 2.2. Take it if you can afford that."
    ) in reasons


def test_a_smaller_student_that_is_clearly_worse_is_not_advised(lead):
    _, reasons = lead(
        {"1L32H miniend-e": [60.0, 64.0], "2L32H miniend-e": [80.0, 84.1]}, rows={"miniend-e": None}, **TWO_SIZES
    )
    assert "is smaller" not in reasons


def test_teacher_and_random_weights_give_the_scale(lead):
    assert "For scale, the score of 1L32H miniend-e is 82.0; teacher 95.0, random weights 50.0." in lead(
        CLEAR, seeds=3, teacher=95.0, untrained={"1L32H": 50.0}
    )[1]  # fmt: skip


def test_tasks_that_random_weights_solve_too_are_called_so(lead):
    assert "these tasks do not measure what distillation gives" in lead(CLEAR, seeds=3, untrained={"1L32H": 90.0})[1]


def test_a_row_that_failed_is_named_and_not_left_out_silently(lead):
    rows = {"rows": {"scratch": None, "miniend-e": None, "logits": None}}
    first, reasons = lead(CLEAR | {"logits": [99.0]}, failed=[("logits", 1)], seeds=3, **rows)
    assert first.startswith("Take 1L32H miniend-e")
    assert "Not compared: 1L32H logits (its loss was not finite with seed 1)." in reasons


def test_a_row_that_lacks_a_seed_is_named(lead):
    rows = {"rows": {"scratch": None, "miniend-e": None, "logits": None}}
    assert "Not compared: 1L32H logits (no score of seed 1, 2)." in lead(CLEAR | {"logits": [99.0]}, seeds=3, **rows)[1]


@pytest.mark.parametrize(
    ("differences", "seeds"), [([1.0, 1.0], None), ([0.0, 0.0], None), ([1.0, -1.0], None), ([1.0, 2.0, 0.0], 7)]
)
def test_the_seeds_that_a_difference_needs(differences, seeds):
    """Student's t for 7 seeds is 2.447, and 2.447 / sqrt(7) < 1; for 6 seeds it is 2.571 / sqrt(6) > 1."""
    assert seeds_needed(differences) == seeds
