"""Records summed up: means over seeds by number, and the lines that people read."""

import json

import pytest

from miniend.errors import RunMismatchError
from miniend.evaluation.records import EvaluationResults, SeedRecord, TaskSummary, plain, read_as, write_record
from miniend.evaluation.report import describe, write_results

FACTS = {
    "parameters": 60_500_000,
    "parameters_without_embeddings": 44_100_000,
    "gflops": 3.184,
    "latency_ms": 12.34,
    "examples_per_second": 56.78,
    "device": "CPU, 1 threads",
}


@pytest.fixture
def output(tmp_path):
    """An output directory with eleven seeds of RTE and one of XSum."""
    write_record(tmp_path / "model.json", {"model": "student", "protocol": "text", "digest": "d"})
    write_record(tmp_path / "facts.json", FACTS)
    for seed in range(11):
        scores = {"rte": {"accuracy": 50.0 + seed}}
        add_seed(tmp_path / "rte", seed, 1e-3, scores, {"rte": 2})
    return tmp_path


def add_seed(folder, seed, rate, scores, unreadable):
    record = SeedRecord(
        seed=seed, learning_rate=rate, seconds=1.0, scores=scores, unreadable=unreadable, predictions={}
    )
    write_record(folder / f"seed-{seed}.json", plain(record))


def add_summaries(output, empty=0):
    scores = {"xsum": {"rouge1": 20.126, "rouge2": 5.0}}
    add_seed(output / "xsum", 0, 3e-4, scores, {"xsum": empty})


def test_seeds_are_summed_up_by_number(output):
    """Seed 10 after 9 and not after 1; what is returned is what is written."""
    results = write_results(output)
    assert results.results["rte"]["accuracy"].values == tuple(50.0 + seed for seed in range(11))
    assert results.results["rte"]["accuracy"].mean == 55.0
    assert results.tasks == {"rte": TaskSummary(learning_rate=1e-3, seeds=tuple(range(11)), unreadable=22)}
    assert (results.model, plain(results.facts), results.glue_score) == ("student", FACTS, None)
    assert results == read_as(output / "results.json", EvaluationResults)
    assert results.as_json() == json.loads((output / "results.json").read_text())


def test_the_lines_say_what_was_found(output):
    """What the model costs, a line per score, and how many answers were none."""
    add_summaries(output)
    lines = describe(write_results(output))
    assert lines[:3] == [
        "student, protocol text; summaries as text",
        "60.5 M parameters, 44.1 M without embeddings; 3.18 GFLOPs (one per multiply-add, 128 + 128 positions)",
        "12.3 ms for one example, 56.8 examples/s (CPU, 1 threads)",
    ]
    assert [line.split() for line in lines[4:8]] == [
        ["result", "metric", "mean", "std", "seeds", "majority"],
        ["rte", "accuracy", "55.00", "3.32", "11"],
        ["xsum", "rouge1", "20.13", "-", "1"],
        ["xsum", "rouge2", "5.00", "-", "1"],
    ]
    assert lines[8:] == ["rte: 22 answers over all seeds were not a label and counted as wrong"]


def test_empty_summaries_are_counted(output):
    """A mean of 5 may be 16 summaries of which 14 are empty."""
    add_summaries(output, empty=14)
    assert describe(write_results(output))[-1] == "xsum: 14 summaries over all seeds were empty"


def test_without_summaries_the_protocol_is_all_there_is_to_say(output):
    """And no line on what did not happen."""
    assert describe(write_results(output))[0] == "student, protocol text"
    add_summaries(output)
    for path in output.glob("rte/*.json"):
        path.unlink()
    assert not any("counted as wrong" in line for line in describe(write_results(output)))


def test_records_of_another_form_are_refused_and_named(output):
    """All of what does not fit, or a score would be looked for that is not there."""
    path = output / "rte" / "seed-3.json"
    write_record(path, {"seed": "3", "scores": {"rte": {"accuracy": None}}})
    with pytest.raises(RunMismatchError, match=r"seed-3\.json .*remove it") as caught:
        write_results(output)
    for name in ("seed", "seconds", "scores.rte.accuracy", "unreadable", "predictions"):
        assert f"its member {name} should be" in str(caught.value)
