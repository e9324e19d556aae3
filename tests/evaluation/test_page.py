"""The report of an evaluation: its first sentence says no more than the seeds show."""

import pytest

from miniend.evaluation.page import gains_of, lead, page, write_page
from miniend.evaluation.records import EvaluationResults, ModelFacts, SeedRecord, TaskSummary, plain, write_record
from miniend.evaluation.scores.scores import spread

FACTS = ModelFacts(
    parameters=2_000_000,
    parameters_without_embeddings=1_000_000,
    gflops=0.5,
    latency_ms=3.0,
    examples_per_second=9.0,
    device="CPU",
)


def results(scores, baselines=None):
    """Results of tasks with one metric each, by seed."""
    return EvaluationResults(
        model="student",
        protocol="head",
        digest="d",
        facts=FACTS,
        tasks={name: TaskSummary(learning_rate=1e-3, seeds=(0,), unreadable=0) for name in scores},
        results={name: {"accuracy": spread(values)} for name, values in scores.items()},
        glue_score=None,
        baselines={name: {"accuracy": value} for name, value in (baselines or {}).items()} or None,
    )


@pytest.mark.parametrize(
    ("scores", "baselines", "first"),
    [
        ({"sst2": [80.0, 81.0]}, {"sst2": 50.9}, "student is better than the most frequent answer on sst2."),
        ({"sst2": [50.0, 53.0]}, {"sst2": 50.9}, "These seeds do not show that student is better than the most frequent answer."),
        ({"sst2": [10.0, 11.0]}, {"sst2": 50.9}, "These seeds do not show that student is better than the most frequent answer."),
        ({"sst2": [80.0]}, {"sst2": 50.9}, "One seed decides nothing. Give --seeds 3 or more, and start the same command again."),
        ({"xsum": [20.0, 21.0]}, {}, "student is scored; its tasks do not have a trivial answer to compare with."),
        ({}, {}, "Nothing is scored yet."),
        (
            {"sst2": [80.0, 81.0], "rte": [53.0, 50.0]},
            {"sst2": 50.9, "rte": 52.7},
            "student is better than the most frequent answer on sst2. On rte these seeds do not show it.",
        ),
    ],
)  # fmt: skip
def test_the_first_sentence_is_what_the_seeds_show(scores, baselines, first):
    found = results(scores, baselines)
    assert lead(found, gains_of(found)).text == first


def test_a_gain_that_is_not_shown_is_not_given_as_a_bare_number():
    found = results({"rte": [53.0, 50.0]}, {"rte": 52.7})
    assert lead(found, gains_of(found)).reasons == [
        "rte: accuracy 51.5 ± 2.1; difference to the most frequent answer: not shown (-1.2 ± 19.1)."
    ]


def test_the_page_has_the_facts_the_scores_and_answers_beside_their_targets(tmp_path):
    record = SeedRecord(
        seed=0,
        learning_rate=1e-3,
        seconds=7.0,
        scores={"sst2": {"accuracy": 80.0}},
        unreadable={},
        predictions={"sst2": [1.0]},
    )
    write_record(tmp_path / "sst2" / "seed-0.json", plain(record))
    write_record(tmp_path / "sst2" / "examples.json", {"sst2": [{"texts": ["a <b>fine</b> film"], "label": 0.0}]})
    said = []
    path = write_page(tmp_path, results({"sst2": [80.0, 81.0]}, {"sst2": 50.9}), said.append)
    html, markdown = path.read_text(), (tmp_path / "report.md").read_text()
    for text in (
        "a &lt;b&gt;fine&lt;/b&gt; film",
        "<dt>target</dt><dd>negative</dd>",
        "<dt>answer</dt><dd>positive</dd>",
    ):
        assert text in html
    assert "sst2 7.0 s" in html
    assert html.count("data:image/png;base64,") == 1
    assert "| sst2 accuracy | 80.5 ± 0.7 | 2 | 50.9 | +29.6 ± 6.4 |" in markdown
    assert said == []


def test_without_a_seed_the_page_is_there_and_says_so(tmp_path):
    assert any("Nothing is scored yet." in str(block) for block in page(tmp_path, results({}), []))
