"""Tasks with labels: their rows, T5's prompts and answers, and which scores they have."""

import sys

import numpy as np
import pytest

from miniend.data.row import Row
from miniend.errors import ConfigurationError, CorpusError
from miniend.evaluation.tasks.examples import LabelledExample
from miniend.evaluation.tasks.glue import GLUE_TASKS
from miniend.evaluation.tasks.known import TASKS


def read(task, *rows):
    placed = [Row(row, f"train.tsv, line {number}") for number, row in enumerate(rows, start=1)]
    return TASKS[task].examples(placed, "train.tsv", lambda _line: None)


@pytest.mark.parametrize(
    ("task", "row", "example"),
    [
        ("sst2", {"sentence": "a", "label": "1"}, LabelledExample(("a",), 1.0)),
        ("mrpc", {"Quality": "0", "#1 String": "a", "#2 String": "b"}, LabelledExample(("a", "b"), 0.0)),
        ("stsb", {"sentence1": "a", "sentence2": "b", "score": "2.400"}, LabelledExample(("a", "b"), 2.4)),
        ("stsb", {"sentence1": "a", "sentence2": "b", "label": 0}, LabelledExample(("a", "b"), 0.0)),
        ("stsb", {"sentence1": "a", "sentence2": "b", "label": 5.0}, LabelledExample(("a", "b"), 5.0)),
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
        ("sst2", {"text": "a", "label": 1}, "task sst2 needs a column sentence; found text, label"),
        ("mrpc", {"sentence1": "a", "sentence2": "b"}, "needs a column label or Quality"),
        ("sst2", {"sentence": "a", "label": 2}, r"should be one of 0 \(negative\), 1 \(positive\), found 2"),
        ("sst2", {"sentence": "a", "label": "0.5"}, "found '0.5'"),
        ("sst2", {"sentence": "a", "label": None}, "found None"),
        ("sst2", {"sentence": "a", "label": -1}, "not public"),
        ("mnli", {"premise": "a", "hypothesis": "b", "label": "-"}, "found '-'"),
        ("stsb", {"sentence1": "a", "sentence2": "b", "score": "5.1"}, "from 0 to 5, found '5.1'"),
        ("stsb", {"sentence1": "a", "sentence2": "b", "score": "nan"}, "found 'nan'"),
        ("stsb", {"sentence1": "a", "sentence2": "b", "score": -0.1}, "from 0 to 5, found -0.1"),
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
    with pytest.raises(CorpusError, match="line 2"):
        read("sst2", {"sentence": "a", "label": 1}, {"sentence": "b", "label": 7})


def test_no_examples_are_refused():
    """A split may be empty."""
    with pytest.raises(CorpusError, match="holds no examples"):
        read("sst2")


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
        ("stsb", 3.27, "3.2"),
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
    assert all(task.answer(task.understand(f" {answer}\n")) == answer for answer in task.answers())


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


def shares(examples, answers):
    labels = np.array([example.label for example in examples])
    return labels, np.array(answers)


def f1(examples, answers):
    """Twice the true positives over those called and those being positive."""
    labels, found = shares(examples, answers)
    return 200 * ((labels == 1) & (found == 1)).sum() / ((labels == 1).sum() + (found == 1).sum())


def accuracy(examples, answers):
    labels, found = shares(examples, answers)
    return 100 * (labels == found).mean()


def pearson(examples, answers):
    labels, found = shares(examples, answers)
    return 100 * np.corrcoef(labels, found)[0, 1]


def spearman(examples, answers):
    """Of values without ties: 1 - 6 sum(d^2) / (n (n^2 - 1))."""
    labels, found = (values.argsort().argsort() for values in shares(examples, answers))
    n = len(labels)
    return 100 * (1 - 6 * ((labels - found) ** 2).sum() / (n * (n**2 - 1)))


@pytest.mark.parametrize(
    ("name", "metrics", "classes"),
    [
        ("mrpc", {"f1": f1, "accuracy": accuracy}, 2),
        ("qqp", {"f1": f1, "accuracy": accuracy}, 2),
        ("mnli", {"accuracy": accuracy}, 3),
        ("rte", {"accuracy": accuracy}, 2),
        ("stsb", {"spearman": spearman, "pearson": pearson}, None),
        ("cola", {"matthews": pearson}, 2),
    ],
)
def test_a_tasks_scores_are_their_formulas(name, metrics, classes):
    """Those of the paper's table, the one it prints first; Matthews' is Pearson's correlation of two classes."""
    generator = np.random.default_rng(2)
    truth = generator.uniform(0, 5, 150) if classes is None else generator.integers(0, classes, 150).astype(float)
    noise = truth + generator.normal(size=150) if classes is None else generator.integers(0, classes, 150)
    answers = [float(a if right else b) for a, b, right in zip(truth, noise, generator.random(150) < 0.5, strict=True)]
    examples = [LabelledExample(("a", "b"), float(label)) for label in truth]
    found = TASKS[name].scores(examples, answers)
    assert list(found) == list(metrics)
    assert found == {metric: pytest.approx(formula(examples, answers)) for metric, formula in metrics.items()}


@pytest.mark.parametrize(("name", "library"), [("sst2", "sklearn.metrics"), ("stsb", "scipy.stats")])
def test_a_library_that_is_missing_is_told_before_it_is_needed(monkeypatch, name, library):
    """Hours later it would be too late."""
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ConfigurationError, match=r"pip install 'miniend\[eval\]'"):
        TASKS[name].require_libraries()
