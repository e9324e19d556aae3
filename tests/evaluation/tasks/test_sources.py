"""Finding a task's data: the layouts that are handed round, the hub by name, and a clear line for everything else."""

import datasets
import pytest

from miniend.errors import CorpusError
from miniend.evaluation.tasks.examples import LabelledExample
from miniend.evaluation.tasks.known import TASKS
from miniend.evaluation.tasks.sources import load_task

MNLI_COLUMNS = ("index", "promptID", "pairID", "genre", "sentence1", "sentence2", "label1")


def load(task, data):
    said = []
    return load_task(TASKS[task], data, said.append), said


def mnli_row(number, label="neutral"):
    return dict.fromkeys(MNLI_COLUMNS, f"text {number}") | {"gold_label": label}


@pytest.mark.parametrize("inside", ["SST-2", "sst2", "."])
@pytest.mark.parametrize(("suffix", "development"), [(".tsv", "dev"), (".jsonl", "validation"), (".csv", "dev")])
def test_a_folder_is_read_in_every_usual_layout(tmp_path, sentiment, write_rows, inside, suffix, development):
    """Folders named after the task, in GLUE's spelling or ours, or the files themselves."""
    write_rows(tmp_path / inside / f"train{suffix}", sentiment(6))
    write_rows(tmp_path / inside / f"{development}{suffix}", sentiment(4, seed=1))
    data, _ = load("sst2", tmp_path)
    assert [example.label for example in data.train] == [0, 1, 0, 1, 0, 1]
    assert list(data.development) == ["sst2"]
    assert len(data.development["sst2"]) == 4


@pytest.mark.parametrize(
    ("task", "folder"),
    [("cola", "SST-2"), ("sst2", "cola"), ("rte", "WNLI"), ("stsb", "mrpc"), ("xsum", "scitldr"), ("rte", "STS_B")],
)
@pytest.mark.parametrize("inside", [True, False])
def test_a_folder_with_the_name_of_another_task_is_refused(tmp_path, write_rows, task, folder, inside):
    """Tasks have columns of the same names: CoLA was scored on the sentences of SST-2."""
    rows = [{"sentence": "a", "sentence1": "a", "sentence2": "b", "document": "a", "summary": "b", "label": 1}] * 20
    for name in ("train", "dev"):
        write_rows(tmp_path / folder / f"{name}.jsonl", rows)
    data = tmp_path / folder if inside else tmp_path / folder / "train.jsonl"
    with pytest.raises(CorpusError, match=f"{folder} has the name of .*, but the task is .*/{task}; give --data"):
        load(task, data)


@pytest.mark.parametrize(
    ("task", "folder"),
    [("sst2", "SST-2"), ("stsb", "stsb"), ("pairs", "xsum"), ("sst2", "my-films"), ("rte", "glue_wnli")],
)
def test_a_folder_of_the_tasks_own_name_or_of_none_is_read(tmp_path, write_rows, task, folder):
    """`pairs` takes any texts with summaries."""
    row = {"sentence": "a", "sentence1": "a", "sentence2": "b", "document": "a", "summary": "b", "label": 1}
    for name in ("train", "dev"):
        write_rows(tmp_path / folder / f"{name}.jsonl", [row])
    data, _ = load(task, tmp_path / folder)
    assert data.files == {"train": str(tmp_path / folder / "train.jsonl"), task: str(tmp_path / folder / "dev.jsonl")}


def test_mnli_has_two_development_sets(tmp_path, write_rows):
    """Matched and mismatched are measured apart, by one model."""
    write_rows(tmp_path / "MNLI" / "train.tsv", [mnli_row(n) for n in range(3)])
    write_rows(tmp_path / "MNLI" / "dev_matched.tsv", [mnli_row(9, "entailment")])
    write_rows(tmp_path / "MNLI" / "dev_mismatched.tsv", [mnli_row(8, "contradiction"), mnli_row(7)])
    data, _ = load("mnli", tmp_path)
    assert {name: [e.label for e in part] for name, part in data.development.items()} == {
        "mnli_matched": [0.0],
        "mnli_mismatched": [2.0, 1.0],
    }


@pytest.mark.parametrize(
    ("task", "folder", "header", "row"),
    [
        ("qqp", "QQP", "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate", "7\t1\t2\tWhy?\tHow?\t1"),
        ("qnli", "QNLI", "index\tquestion\tsentence\tlabel", "0\tWho?\tShe.\tentailment"),
        ("wnli", "WNLI", "index\tsentence1\tsentence2\tlabel", "0\ta\tb\t1"),
        ("rte", "RTE", "index\tsentence1\tsentence2\tlabel", "0\ta\tb\tnot_entailment"),
        ("cola", "CoLA", "gj04\t1\t\tHe went.", "gj04\t0\t*\tHe go."),
        ("mrpc", "MRPC", "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String", "1\t4\t5\ta\tb"),
        ("stsb", "STS-B", "index\tgenre\tsentence1\tsentence2\tscore", "0\tnews\ta\tb\t4.750"),
    ],
)
def test_files_in_the_layout_of_glue_are_read(tmp_path, task, folder, header, row):
    """As GLUE's own download has them, CoLA without a header."""
    (tmp_path / folder).mkdir()
    for name in ("train.tsv", "dev.tsv"):
        (tmp_path / folder / name).write_text(f"{header}\n{row}\n")
    data, _ = load(task, tmp_path)
    assert len(data.train) == (2 if task == "cola" else 1)
    assert len(data.train[0].texts) == len(TASKS[task].fields)


def test_of_one_file_a_tenth_is_the_development_set(tmp_path, sentiment, write_rows):
    """And nothing of it is trained on; the user is told."""
    rows = [row | {"sentence": f"{n}"} for n, row in enumerate(sentiment(50))]
    data, said = load("sst2", write_rows(tmp_path / "all.csv", rows))
    assert (len(data.train), len(data.development["sst2"])) == (45, 5)
    assert not {e.texts for e in data.train} & {e.texts for e in data.development["sst2"]}
    assert "5 of its examples" in said[0]


def test_the_hub_is_asked_by_name(monkeypatch):
    """`datasets` does the rest."""
    names = ("train", "validation_matched", "validation_mismatched")
    splits = {
        name: datasets.Dataset.from_dict({"premise": [name], "hypothesis": ["b"], "label": [1], "idx": [0]})
        for name in names
    }
    asked = []
    monkeypatch.setattr(datasets, "load_dataset", lambda *names: asked.append(names) or splits)
    data, _ = load("mnli", None)
    assert asked == [("nyu-mll/glue", "mnli")]
    assert data.train == [LabelledExample(("train", "b"), 1.0)]
    assert {name: [e.texts[0] for e in part] for name, part in data.development.items()} == {
        "mnli_matched": ["validation_matched"],
        "mnli_mismatched": ["validation_mismatched"],
    }


def test_a_data_set_of_the_hub_without_a_split_is_refused(monkeypatch):
    """With those that it has."""
    splits = {"train": datasets.Dataset.from_dict({"sentence": ["a"], "label": [1]}), "test": None}
    monkeypatch.setattr(datasets, "load_dataset", lambda *_names: splits)
    with pytest.raises(CorpusError, match="nyu-mll/glue, sst2: expected a split validation, found train, test"):
        load("sst2", None)


def test_a_hub_that_cannot_be_reached_is_a_clear_line(monkeypatch):
    """With the way out of it."""

    def unreachable(*_names):
        raise ConnectionError("no route\nto host")

    monkeypatch.setattr(datasets, "load_dataset", unreachable)
    with pytest.raises(CorpusError, match="no route to host; give --data"):
        load("sst2", None)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], "neither train.* nor a folder SST-2 or sst2; found nothing"),
        (["MRPC/train.tsv"], "found MRPC"),
        (["SST-2/train.tsv"], "holds no validation or dev"),
        (["SST-2/dev.tsv"], "holds no train"),
        (["train.tsv", "train.jsonl", "dev.tsv"], "remove all but one"),
    ],
)
def test_folders_that_do_not_hold_the_task_are_refused(tmp_path, sentiment, write_rows, files, message):
    """Saying what was looked for and what is there."""
    for name in files:
        write_rows(tmp_path / name, sentiment(4))
    with pytest.raises(CorpusError, match=message):
        load("sst2", tmp_path)


def test_a_file_called_like_the_task_is_no_folder_of_it(tmp_path):
    """And of a folder full of other things the first are named."""
    for name in ("sst2", *"abcdefgh"):
        (tmp_path / name).write_text("")
    with pytest.raises(CorpusError, match=r"neither train.*; found a, b, c, d, e, f, g, h, \.\.\."):
        load("sst2", tmp_path)


def test_a_path_that_is_not_there_or_no_table_is_refused(tmp_path):
    """A typing error, and a file of another kind."""
    with pytest.raises(CorpusError, match="does not exist"):
        load("sst2", tmp_path / "nowhere")
    (tmp_path / "all.xlsx").write_text("")
    with pytest.raises(CorpusError, match=r"expected a file that ends in \.jsonl, \.json, \.csv, \.tsv, \.parquet"):
        load("sst2", tmp_path / "all.xlsx")


def test_half_a_surrogate_pair_does_not_reach_a_model(tmp_path):
    """Tokenizers refuse it with a traceback, in a development set after the whole fine-tuning."""
    (tmp_path / "all.jsonl").write_text('{"sentence": "a\\ud800b", "label": 1}\n' * 10)
    data, _ = load("sst2", tmp_path / "all.jsonl")
    assert data.train[0].texts == ("a\ufffdb",)


def test_packed_tables_and_saved_datasets_are_read(tmp_path):
    """What a dump reads an evaluation reads too."""
    for name, count in (("train", 3), ("validation", 2)):
        table = datasets.Dataset.from_dict({"sentence": [name] * count, "label": [1] * count})
        table.to_parquet(tmp_path / "files" / f"{name}.parquet")
        table.save_to_disk(tmp_path / "saved" / name)
    for folder in ("files", "saved"):
        data, _ = load("sst2", tmp_path / folder)
        assert (len(data.train), len(data.development["sst2"])) == (3, 2)
