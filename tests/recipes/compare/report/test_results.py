"""What is gathered from the directories, and how the report words it."""

import json

import pytest

from miniend.recipes.compare.report.report import report_blocks, summary_lines
from miniend.recipes.compare.report.results import GLUE, SCORE, VALIDATION, as_document
from miniend.recipes.compare.report.verdict import verdict
from miniend.runtime.report.blocks import Bold


def table(comparison, results, title):
    """The first table below a heading."""
    blocks = iter(report_blocks(comparison, results, {"train": {"1L32H scratch": 90.0}}, {}))
    next(block for block in blocks if getattr(block, "text", "") == title)
    return next(block for block in blocks if hasattr(block, "rows"))


def test_scores_are_means_over_seeds_with_their_deviation(world):
    comparison, results = world({"scratch": [70.0, 74.0], "miniend-e": [80.0]}, teacher=90.0)
    found = table(comparison, results, "Scores")
    assert found.header == ["model", "sst2 accuracy", "score", "validation"]
    assert found.rows == [
        ["teacher", "90.0 ± 0.5", "90.0", "-"],
        ["1L32H scratch", "72.0 ± 2.8", "72.0 ± 2.8", "-"],
        ["1L32H miniend-e", Bold("80.0"), Bold("80.0"), "-"],
    ]
    lines = list(summary_lines(comparison, results))
    assert len(lines) == 5
    assert lines[3].split() == ["1L32H", "miniend-e", "80.0", "80.0", "-"]


def test_the_cross_entropy_of_teacher_and_random_weights_stands_beside_that_of_the_students(world, tmp_path):
    record = tmp_path / "out" / "evaluated" / "teacher" / "validation.json"
    record.parent.mkdir(parents=True)
    record.write_text(json.dumps({"cross_entropy": 2.5, "cache": "its digest"}))
    comparison, results = world({"scratch": [70.0]}, {"scratch": [3.25]}, teacher=90.0)
    assert results.columns == ("sst2 accuracy",)
    assert table(comparison, results, "Scores").rows == [
        ["teacher", "90.0 ± 0.5", "90.0", "2.500"],
        ["1L32H scratch", "70.0", "70.0", "3.250"],
        ["1L32H miniend-e", "-", "-", "-"],
    ]


def test_a_model_that_failed_on_a_task_has_no_result_of_it_and_no_score_and_is_named(world, tmp_path):
    failed = tmp_path / "out" / "evaluated" / "1L32H-miniend-e-lr-0.001-seed-0" / "rte" / "failed.json"
    failed.parent.mkdir(parents=True)
    failed.write_text("{}")
    tasks = {"glue/sst2": None, "glue/rte": None}
    scores = {"sst2": 70.0, "rte": 50.0}
    comparison, results = world({"scratch": [1.0], "miniend-e": [1.0]}, evaluated=scores, tasks=tasks)
    assert table(comparison, results, "Scores").rows == [
        ["1L32H scratch", "70.0", "50.0", "60.0", "-"],
        ["1L32H miniend-e", "70.0", "-", "-", "-"],
    ]
    said = [block.text for block in report_blocks(comparison, results, {}, {}) if hasattr(block, "text")]
    assert any("fine-tuning was not finite: 1L32H miniend-e, seed 0 of glue/rte." in text for text in said)


def test_a_difference_pairs_the_seeds_that_both_rows_have(world):
    _, results = world({"scratch": [70.0, 74.0], "miniend-e": [71.0, 75.1]})
    found = results.difference("1L32H", ("miniend-e", "scratch"), SCORE)
    assert found.mean == pytest.approx(1.05)
    assert found.seeds == 2
    assert results.difference("1L32H", ("miniend-e", "scratch"), VALIDATION) is None


@pytest.mark.parametrize(
    ("better", "cell"),
    [
        ([81.0, 85.2], "+11.1 ± 1.3"),
        ([70.0, 76.0], "not shown (+1.0 ± 12.7)"),
        ([71.0, 75.0], "not shown (+1.0 in each of 2 seeds)"),
        ([71.5], "not shown (+1.5, one seed)"),
    ],
)
def test_a_difference_that_the_seeds_do_not_show_says_so(world, better, cell):
    comparison, results = world({"scratch": [70.0, 74.0], "miniend-e": better})
    (row,) = table(comparison, results, "Paired differences").rows
    assert row == ["1L32H miniend-e - scratch", cell, "-", cell]


def test_validation_cross_entropy_has_three_digits_and_its_own_differences(world):
    comparison, results = world(
        {"scratch": [70.0, 70.0], "miniend-e": [70.0, 70.0]},
        entropies={"scratch": [5.5, 5.7], "miniend-e": [5.25, 5.452]},
    )
    assert table(comparison, results, "Scores").rows[1][-1] == Bold("5.351 ± 0.143")
    assert table(comparison, results, "Paired differences").rows[0][2] == "-0.249 ± 0.013"


def test_no_score_is_given_before_all_tasks_are_evaluated(world):
    comparison, results = world({"scratch": [70.0]}, tasks={"glue/sst2": None, "glue/rte": None})
    assert table(comparison, results, "Scores").rows == [
        ["1L32H scratch", "70.0", "-", "-"],
        ["1L32H miniend-e", "-", "-", "-"],
    ]


def test_a_task_that_was_taken_out_of_the_file_counts_for_nobody(world):
    comparison, results = world({"scratch": [70.0]}, evaluated={"sst2": 70.0, "rte": 50.0})
    assert table(comparison, results, "Scores").header == ["model", "sst2 accuracy", "score", "validation"]
    assert results.students[0].value(SCORE, 0) == 70.0


def test_the_glue_score_stands_beside_the_mean_over_all_tasks(world):
    tasks = {f"glue/{name}": None for name in ("sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte", "wnli")}
    eight = ("sst2", "mrpc", "stsb", "qqp", "mnli_matched", "mnli_mismatched", "qnli", "rte")
    _, results = world({"scratch": [70.0]}, evaluated=dict.fromkeys(eight, 80.0) | {"wnli": 53.0}, tasks=tasks)
    assert results.students[0].value(GLUE, 0) == pytest.approx(80.0)
    assert results.students[0].value(SCORE, 0) == pytest.approx(77.0)
    assert results.columns[-1] == GLUE


def test_costs_come_from_the_facts_and_the_timed_dry_run(world):
    comparison, results = world({"scratch": [70.0]})
    assert table(comparison, results, "Sizes and times").rows == [
        ["1L32H scratch", "2.00", "1.00", "0.5", "3.0", "9", "1.5"]
    ]


def test_a_seed_that_was_lost_is_named(world):
    comparison, results = world({"scratch": [70.0]}, failed=[("miniend-e", 1)])
    texts = [getattr(block, "text", "") for block in report_blocks(comparison, results, {}, {})]
    assert any(text.endswith("the first seed chose: 1L32H miniend-e, seed 1.") for text in texts)


def test_the_document_has_every_number(world):
    comparison, results = world({"scratch": [70.0, 74.0], "miniend-e": [81.0, 85.1]}, teacher=90.0)
    found = as_document(results, comparison, {"train": {}}, verdict(comparison, results).as_json())
    assert found["teacher"]["results"] == {"sst2 accuracy": 90.0, "score": 90.0}
    assert [student["seeds"]["1"]["evaluated"]["results"]["score"] for student in found["students"]] == [74.0, 85.1]
    shown = {one["column"]: (one["mean"], one["shown"]) for one in found["differences"]}
    assert shown == {"score": (pytest.approx(11.05), True), "sst2 accuracy": (pytest.approx(11.05), True)}
    assert found["decision"]["taken"] == "1L32H miniend-e"
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize(("rates", "told"), [([1e-4, 3e-4, 1e-3], True), ([1e-3, 3e-3], False)])
def test_a_rate_at_the_edge_of_what_was_tried_is_told(world, settings, rates, told):
    """Of two rates either would be."""
    tried = settings()["evaluate"] | {"learning_rates": rates}
    comparison, results = world({"scratch": [70.0]}, teacher=90.0, evaluate=tried)
    texts = [getattr(block, "text", "") for block in report_blocks(comparison, results, {"train": {}}, {})]
    found = [
        text for text in texts if text.startswith("In fine-tuning on glue/sst2, the best rate was at the edge of ")
    ]
    assert bool(found) == told
    assert not told or found[0].endswith("0.0001, 0.0003, 0.001: teacher, 1L32H scratch, seed 0.")


def test_rows_with_rates_of_their_own_share_a_table_and_an_edge_is_that_of_their_own(world, tmp_path):
    rates = {"scratch": [1e-3, 1e-2, 1e-1], "miniend-e": [1e-4, 1e-3, 1e-2]}
    for name, tried in rates.items():
        for rate in tried:
            if rate != 1e-3:
                failed = tmp_path / "out" / "students" / f"1L32H-{name}-lr-{rate:g}-seed-0.failed"
                failed.parent.mkdir(parents=True, exist_ok=True)
                failed.write_text("not finite\n")
    comparison, results = world({"scratch": [70.0], "miniend-e": [71.0]}, learning_rates=rates, seeds=1)
    found = table(comparison, results, "Learning rates of distillation")
    assert found.header[1:] == ["0.0001", "0.001", "0.01", "0.1"]
    assert found.rows == [
        ["1L32H scratch", "", "5.0000 (taken)", "not finite", "not finite"],
        ["1L32H miniend-e", "not finite", "5.0000 (taken)", "not finite", ""],
    ]
    texts = [getattr(block, "text", "") for block in report_blocks(comparison, results, {"train": {}}, {})]
    assert (
        "The best rate was at the edge of the tried ones, so a rate beyond it might be better: 1L32H scratch." in texts
    )


def test_where_no_rate_was_tried_by_all_objectives_of_the_pilot_study_the_report_says_so(world, tmp_path):
    """The run of implicit at 1e-3, and that of miniend-e at a rate of its own."""
    other = tmp_path / "out" / "students" / "1L32H-miniend-e-lr-0.002-seed-0"
    other.mkdir(parents=True)
    (other / "metrics.jsonl").write_text(json.dumps({"step": 1, "validation.loss": 5.0}) + "\n")
    (other / "model.safetensors").touch()
    rows, rates = dict.fromkeys(["implicit", "miniend-e"]), {"implicit": 1e-3, "miniend-e": 2e-3}
    comparison, results = world({"implicit": [70.0]}, rows=rows, learning_rates=rates)
    texts = [getattr(block, "text", "") for block in report_blocks(comparison, results, {"train": {}}, {})]
    assert any(
        text.startswith("These rows did not all try the same learning rate")
        and "1L32H implicit, 1L32H miniend-e" in text
        for text in texts
    )
