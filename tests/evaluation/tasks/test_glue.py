"""The tasks of GLUE together: their names, and the score over them."""

import pytest

from miniend.evaluation.scores.scores import spread
from miniend.evaluation.tasks.glue import GLUE_EIGHT, GLUE_TASKS, glue_score


def test_the_eight_numbers_are_results_of_tasks():
    """A misspelt name would leave the GLUE score missing for ever."""
    results = {result: task for task in GLUE_TASKS for result in task.development}
    assert all(results[name].metrics[0] == metric for name, metric in GLUE_EIGHT.items())
    assert set(results) - set(GLUE_EIGHT) == {"cola", "wnli"}


POSTER = {
    88.5: (94.6, 93.0, 90.0, 88.9, 86.7, 86.8, 92.9, 74.7),
    84.6: (92.2, 90.2, 86.0, 87.3, 81.2, 81.7, 88.2, 70.0),
    85.0: (92.3, 89.9, 86.6, 87.7, 82.5, 83.1, 89.2, 69.0),
}
"""The paper's GLUE score -> its eight numbers, of the teacher, the student from scratch, and the best one."""


@pytest.mark.parametrize(("published", "numbers"), POSTER.items())
def test_the_glue_score_is_the_papers(published, numbers):
    """The mean of eight, MNLI's two counted apart; the mean of seven would be 88.7 for the teacher."""
    results = {
        name: {metric: spread([value - 1, value + 1])}
        for (name, metric), value in zip(GLUE_EIGHT.items(), numbers, strict=True)
    }
    assert glue_score(results) == pytest.approx(published, abs=0.051)


def test_there_is_no_glue_score_while_a_number_is_missing():
    """A mean of seven would be taken for one of eight."""
    results = {name: {metric: spread([50.0])} for name, metric in GLUE_EIGHT.items() if name != "mnli_mismatched"}
    assert glue_score(results) is None


def test_the_hub_knows_the_tasks_by_their_names():
    """As configurations of one data set."""
    names = ("sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte", "cola", "wnli")
    assert [task.hub for task in GLUE_TASKS] == [("nyu-mll/glue", name) for name in names]
