"""Tasks as T5 and the paper have them."""

import pytest

from miniend.errors import ConfigurationError
from miniend.evaluation.glue import GLUE_EIGHT, GLUE_TASKS
from miniend.evaluation.tasks import TASKS, find_task


@pytest.mark.parametrize(
    ("name", "texts", "prompt"),
    [
        ("sst2", ("so good",), "sst2 sentence: so good"),
        ("mnli", ("It rains.", "It is wet."), "mnli hypothesis: It is wet. premise: It rains."),
        ("qqp", ("Why?", "How?"), "qqp question1: Why? question2: How?"),
        ("qnli", ("Who?", "She did."), "qnli question: Who? sentence: She did."),
        ("stsb", ("a", "b"), "stsb sentence1: a sentence2: b"),
        ("cola", ("He go.",), "cola sentence: He go."),
    ],
)
def test_prompts_are_those_of_t5(name, texts, prompt):
    """A checkpoint that saw GLUE in training knows these and no others; MNLI's fields stand in the order of their names."""
    assert TASKS[name].prompt(texts) == prompt


@pytest.mark.parametrize(
    ("name", "label", "answer"),
    [
        ("sst2", 1.0, "positive"),
        ("mrpc", 0.0, "not_equivalent"),
        ("mnli", 1.0, "neutral"),
        ("rte", 0.0, "entailment"),
        ("wnli", 0.0, "not_entailment"),
        ("qnli", 1.0, "not_entailment"),
        ("cola", 0.0, "unacceptable"),
        ("qqp", 1.0, "duplicate"),
        ("stsb", 3.25, "3.2"),
        ("stsb", 3.8, "3.8"),
        ("stsb", 5.0, "5.0"),
        ("stsb", 0.0, "0.0"),
    ],
)
def test_answers_are_those_of_t5(name, label, answer):
    """Similarities are rounded to 0.2 and printed with one decimal."""
    assert TASKS[name].answer(label) == answer
    assert answer in TASKS[name].answers()


@pytest.mark.parametrize("name", sorted(task.name for task in GLUE_TASKS))
def test_every_answer_is_understood(name):
    """What a perfect model says must score as perfect."""
    task = TASKS[name]
    assert all(task.answer(task.understand(answer)) == answer for answer in task.answers())


@pytest.mark.parametrize(
    ("name", "text"), [("sst2", "good"), ("sst2", ""), ("rte", "entail"), ("stsb", "high"), ("stsb", "nan")]
)
def test_what_is_no_answer_is_not_understood(name, text):
    """Half a label word is no label, and no number would make every correlation NaN."""
    assert TASKS[name].understand(text) is None


def test_an_answer_that_is_none_is_wrong():
    """For a class the next one, which in a pair is the other, as in T5's F1; for a similarity -1."""
    assert [TASKS["sst2"].wrong(label) for label in (0.0, 1.0)] == [1.0, 0.0]
    assert [TASKS["mnli"].wrong(label) for label in (0.0, 1.0, 2.0)] == [1.0, 2.0, 0.0]
    assert TASKS["stsb"].wrong(4.0) == -1.0


def test_the_eight_numbers_are_results_of_tasks():
    """A misspelt name would leave the GLUE score missing for ever."""
    results = {result: task for task in GLUE_TASKS for result in task.development}
    assert all(results[name].metrics[0] == metric for name, metric in GLUE_EIGHT.items())
    assert set(results) - set(GLUE_EIGHT) == {"cola", "wnli"}


@pytest.mark.parametrize("name", ["glue/sst-2", "sst2", "glue/", "superglue/cb"])
def test_an_unknown_task_is_named_with_those_that_there_are(name):
    """One clear line."""
    with pytest.raises(ConfigurationError, match=r"unknown task .*glue/sst2, .*glue/wnli"):
        find_task(name)
