"""Columns and labels of a task's rows."""

import pytest

from miniend.errors import CorpusError
from miniend.evaluation.examples import LabelledExample, TaskData, draw, split_off
from miniend.evaluation.tasks import TASKS


def read(task, *rows):
    return TASKS[task].examples(rows, "train.tsv", lambda _line: None)


@pytest.mark.parametrize(
    ("task", "row", "example"),
    [
        ("sst2", {"sentence": "a", "label": "1"}, LabelledExample(("a",), 1.0)),
        ("mrpc", {"Quality": "0", "#1 String": "a", "#2 String": "b"}, LabelledExample(("a", "b"), 0.0)),
        ("stsb", {"sentence1": "a", "sentence2": "b", "score": "2.400"}, LabelledExample(("a", "b"), 2.4)),
        ("stsb", {"sentence1": "a", "sentence2": "b", "label": 2.5}, LabelledExample(("a", "b"), 2.5)),
        ("qqp", {"question1": "a", "question2": "b", "is_duplicate": "1"}, LabelledExample(("a", "b"), 1.0)),
        (
            "mnli",
            {"sentence1": "a", "sentence2": "b", "label1": "neutral", "gold_label": "contradiction"},
            LabelledExample(("a", "b"), 2.0),
        ),
        ("mnli", {"hypothesis": "b", "premise": "a", "label": 0}, LabelledExample(("a", "b"), 0.0)),
        ("qnli", {"question": "a", "sentence": "b", "label": "not_entailment"}, LabelledExample(("a", "b"), 1.0)),
        ("rte", {"sentence1": "a", "sentence2": "b", "label": "entailment"}, LabelledExample(("a", "b"), 0.0)),
        ("wnli", {"sentence1": "a", "sentence2": "b", "label": "1"}, LabelledExample(("a", "b"), 1.0)),
        ("cola", {"source": "x", "label": "0", "star": "*", "sentence": "a"}, LabelledExample(("a",), 0.0)),
    ],
)
def test_rows_of_glue_and_of_datasets_are_read(task, row, example):
    """Premise before hypothesis; words and numbers are labels alike; of MNLI's labels the gold one."""
    assert read(task, row) == [example]


@pytest.mark.parametrize(
    ("task", "row", "message"),
    [
        ("sst2", {"text": "a", "label": 1}, "no column sentence, which task sst2 needs; found text, label"),
        ("mrpc", {"sentence1": "a", "sentence2": "b"}, "no column label or Quality"),
        ("sst2", {"sentence": "a", "label": 2}, r"should be one of 0 \(negative\), 1 \(positive\), found 2"),
        ("sst2", {"sentence": "a", "label": "0.5"}, "found '0.5'"),
        ("sst2", {"sentence": "a", "label": None}, "found None"),
        ("sst2", {"sentence": "a", "label": -1}, "not public"),
        ("mnli", {"premise": "a", "hypothesis": "b", "label": "-"}, "found '-'"),
        ("stsb", {"sentence1": "a", "sentence2": "b", "score": "5.1"}, "from 0 to 5, found '5.1'"),
        ("stsb", {"sentence1": "a", "sentence2": "b", "score": "nan"}, "found 'nan'"),
        ("sst2", {"sentence": None, "label": 1}, "sentence should be a text"),
    ],
)
def test_what_a_task_does_not_have_is_refused(task, row, message):
    """One clear line that says where."""
    with pytest.raises(CorpusError, match=message) as refused:
        read(task, row)
    assert str(refused.value).startswith("train.tsv")


def test_the_example_at_fault_is_named():
    """In a file of thousands."""
    with pytest.raises(CorpusError, match="example 2"):
        read("sst2", {"sentence": "a", "label": 1}, {"sentence": "b", "label": 7})


def test_no_examples_are_refused():
    """A split may be empty."""
    with pytest.raises(CorpusError, match="holds no examples"):
        read("sst2")


def numbered(count):
    return [LabelledExample((str(number),), 0.0) for number in range(count)]


def test_what_is_held_out_is_a_tenth_and_not_trained_on():
    """The same on every call, drawn from everywhere, and never more than a thousand."""
    examples = numbered(200)
    rest, held_out = split_off(examples)
    assert (len(rest), len(held_out)) == (180, 20)
    assert set(rest) | set(held_out) == set(examples)
    assert split_off(examples) == (rest, held_out)
    assert held_out != examples[:20]
    assert len(split_off(numbered(20000))[1]) == 1000


def test_too_few_examples_to_hold_any_out_are_refused():
    """The advice is what helps."""
    with pytest.raises(CorpusError, match="single --learning-rate"):
        split_off(numbered(9))


def test_a_draw_is_the_same_every_time():
    """Students are compared on the same examples."""
    examples = numbered(100)
    assert draw(examples, 10) == draw(examples, 10)
    assert len(set(draw(examples, 10))) == 10
    assert draw(examples, 10) != examples[:10]
    assert draw(examples, 1000) == draw(examples, None) == examples


def test_the_digest_tells_data_apart():
    """A label, a text, or what is in which part."""
    one, other = numbered(2)
    digests = {
        TaskData([one], {"sst2": [other]}).digest(),
        TaskData([other], {"sst2": [one]}).digest(),
        TaskData([one], {"sst2": [LabelledExample(other.texts, 1.0)]}).digest(),
    }
    assert len(digests) == 3
