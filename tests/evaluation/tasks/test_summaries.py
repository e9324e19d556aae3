"""Summaries to learn from: the layouts that data sets are handed round in, and what is no pair."""

import datasets
import pytest

from miniend.data.row import Row
from miniend.errors import CorpusError
from miniend.evaluation.tasks.examples import SummaryExample
from miniend.evaluation.tasks.known import TASKS
from miniend.evaluation.tasks.sources import load_task


def load(task, data):
    said = []
    return load_task(TASKS[task], data, said.append), said


def read(task, *rows):
    placed = [Row(row, f"train.csv, line {number}") for number, row in enumerate(rows, start=1)]
    said = []
    return TASKS[task].examples(placed, "train.csv", said.append), said


def test_cnn_dailymail_as_csv_is_read(tmp_path):
    """Quoted articles with line breaks; of the three splits test is left alone."""
    for name in ("train", "validation", "test"):
        (tmp_path / f"{name}.csv").write_text(f'id,article,highlights\n7,"Long, {name}.\nText.","One .\nTwo ."\n')
    data, said = load("cnn_dailymail", tmp_path)
    assert data.train == [SummaryExample("Long, train.\nText.", ("One .\nTwo .",))]
    assert data.development == {"cnn_dailymail": [SummaryExample("Long, validation.\nText.", ("One .\nTwo .",))]}
    assert said == []


def test_summaries_that_rouge_cannot_score_are_counted():
    """In another script ROUGE is 0 for anything that a model says."""
    task = TASKS["xsum"]
    rows = [("a text", ("今天下雨",)), ("a longer text", ("Зимой снег", "snow")), ("text", ("!?",)), ("text", ("7",))]
    told = task.told([SummaryExample(*row) for row in rows])
    assert told.startswith("longest text 13 characters, longest summary 10, warning: 2 have a summary without a word")
    assert "warning" not in task.told([SummaryExample("a", ("Über b",))])
    assert task.baseline([], []) is None


def test_xsum_as_one_csv_is_divided(tmp_path, articles, write_rows):
    """A tenth is the development set; further columns are nothing."""
    rows = [row | {"id": n} for n, row in enumerate(articles(30))]
    data, said = load("xsum", write_rows(tmp_path / "sample.csv", rows))
    assert (len(data.train), len(data.development["xsum"])) == (27, 3)
    assert "27 of its examples are for training, 3 are the development set" in said[0]


def test_scitldr_as_json_lines_is_read(tmp_path, write_rows):
    """Sentences are joined, and every summary is a reference."""
    row = {"source": ["One.", "Two."], "source_labels": [0, 1], "target": ["Short.", "Brief."], "title": "T"}
    for name in ("train", "dev"):
        write_rows(tmp_path / "scitldr" / f"{name}.jsonl", [row])
    data, _ = load("scitldr", tmp_path)
    assert data.train == data.development["scitldr"] == [SummaryExample("One. Two.", ("Short.", "Brief."))]


@pytest.mark.parametrize("development", ["validation", "dev", "val"])
def test_pairs_as_tsv_are_read(tmp_path, write_rows, development):
    """In a folder of their own or any other."""
    for name in ("train", development):
        write_rows(tmp_path / f"{name}.tsv", [{"text": f'"so {name}', "summary": "so"}])
    data, _ = load("pairs", tmp_path)
    assert data.train == [SummaryExample('"so train', ("so",))]
    assert data.development["pairs"][0].text == f'"so {development}'


@pytest.mark.parametrize(
    "columns", [("source", "target"), ("document", "summary"), ("article", "highlights"), ("text", "summary")]
)
def test_pairs_may_be_called_as_is_usual(columns):
    """A column of another pair beside them, such as where an article is from, is no text."""
    row = {"source": "BBC", "text": "T"} | dict(zip(columns, "ab", strict=True))
    assert read("pairs", row)[0] == [SummaryExample("a", ("b",))]


def test_the_hub_is_asked_by_name(monkeypatch):
    """With the configuration, where there is one."""
    columns = {"document": ["a"], "summary": ["b"], "article": ["c"], "highlights": ["d"]}
    columns |= {"source": [["e", "f"]], "target": [["g", "h"]]}
    splits = {name: datasets.Dataset.from_dict(columns) for name in ("train", "validation", "test")}
    asked = []
    monkeypatch.setattr(datasets, "load_dataset", lambda *names: asked.append(names) or splits)
    found = [load(task, None)[0].train for task in ("cnn_dailymail", "xsum", "scitldr")]
    assert asked == [("abisee/cnn_dailymail", "3.0.0"), ("EdinburghNLP/xsum",), ("allenai/scitldr", "Abstract")]
    assert found == [
        [SummaryExample("c", ("d",))],
        [SummaryExample("a", ("b",))],
        [SummaryExample("e f", ("g", "h"))],
    ]


def test_pairs_are_on_no_hub():
    """Which would be meant?"""
    with pytest.raises(CorpusError, match=r"summarize/pairs is not a data set .* give --data"):
        load("pairs", None)


def test_columns_that_are_missing_are_named():
    """With those that were found."""
    with pytest.raises(CorpusError, match="task xsum needs the columns document and summary; found document, text"):
        read("xsum", {"document": "a", "text": "b"})
    with pytest.raises(CorpusError, match=r"source and target, or document and summary, or .*; found a"):
        read("pairs", {"a": "b"})


def test_a_few_empty_pairs_are_passed_over_and_counted():
    """Data sets from the web have some. A blank reference beside another is dropped; one in a hundred may be empty, no more."""
    whole = {"source": "a", "target": ["b", " "]}
    examples, said = read("scitldr", *[whole] * 198, {"source": [], "target": "b"}, {"source": "a", "target": ["\n"]})
    assert examples == [SummaryExample("a", ("b",))] * 198
    assert said == ["train.csv: 2 of 200 examples have an empty source or target and are skipped"]
    with pytest.raises(CorpusError, match=r"train\.csv: 2 of 199 examples have an empty source or target"):
        read("scitldr", *[whole] * 197, *[{"source": "\n", "target": "b"}] * 2)


@pytest.mark.parametrize("value", [None, 3, ["a", None], {"a": "b"}])
def test_what_is_no_text_is_refused(value):
    """With the example at fault."""
    with pytest.raises(CorpusError, match=r"train\.csv, line 2: document should be a text or a list of texts, found"):
        read("xsum", {"document": "a", "summary": "b"}, {"document": value, "summary": "b"})


def test_no_examples_are_refused():
    """A split may be empty."""
    with pytest.raises(CorpusError, match="holds no examples"):
        read("xsum")


def test_every_reference_is_scored_against():
    """The best of them for each metric; the first is only the one to learn."""
    example = SummaryExample("a", ("nothing of it", "a lovely film"))
    found = TASKS["scitldr"].scores([example], ["a lovely film"])
    assert found == dict.fromkeys(("rouge1", "rouge2", "rougeL", "rougeLsum"), 100.0)
