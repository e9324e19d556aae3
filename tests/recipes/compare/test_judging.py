"""Which models are judged on what, and what becomes of a fine-tuning whose loss is not finite."""

import pytest

from miniend.errors import TrainingError
from miniend.evaluation.records import write_record
from miniend.recipes.compare import judging as module
from miniend.recipes.compare.judging import Candidate, Judging
from miniend.recipes.compare.places import Places
from miniend.recipes.compare.reading import read_comparison
from miniend.recipes.compare.training import Training
from miniend.storage.claims import Claims

TASKS = {"glue/sst2": None, "glue/cola": None}
SCORES = {"sst2": {"accuracy": 90.0}, "cola": {"matthews": 20.0}}


@pytest.fixture
def judge(monkeypatch, written, tmp_path):
    """judge(candidates, diverging): what was evaluated and said; tasks named in `diverging` end in TrainingError."""
    comparison = read_comparison(written(tasks=TASKS))
    places = Places(tmp_path / "out")

    def run(candidates, diverging=()):
        evaluated, said = [], []

        def evaluate(config, _say):
            (task,) = config.tasks
            name = task.removeprefix("glue/")
            evaluated.append((config.output.name, name, config.learning_rates))
            if name in diverging:
                raise TrainingError("the loss is not finite")
            record = {"seed": 0, "learning_rate": config.learning_rates[0], "unreadable": {name: 0}}
            write_record(config.output / name / "seed-0.json", record | {"scores": {name: SCORES[name]}})

        monkeypatch.setattr(module, "evaluate", evaluate)
        with Claims(places.root) as claims:
            training = Training(comparison, places, claims, said.append)
            Judging(comparison, places, training, claims, said.append).judge(candidates)
        return evaluated, said

    return run


@pytest.fixture
def candidate(tmp_path):
    """candidate(name, first): a model of that name."""

    def named(name, first=None):
        folder = tmp_path / "out" / "judged"
        return Candidate(name, folder / name, folder / first if first else None)

    return named


def test_a_model_is_judged_once_on_every_task(judge, candidate):
    evaluated, _ = judge([candidate("one"), candidate("other")])
    assert [found[:2] for found in evaluated] == [
        ("one", "sst2"),
        ("one", "cola"),
        ("other", "sst2"),
        ("other", "cola"),
    ]
    assert judge([candidate("one"), candidate("other")])[0] == []


def test_a_task_whose_fine_tuning_diverges_is_left_out_and_the_others_go_on(judge, candidate):
    evaluated, said = judge([candidate("one"), candidate("other")], diverging=["sst2"])
    assert len(evaluated) == 4
    assert "one is left out: the loss is not finite" in said
    assert module.fine_tuned_tasks(candidate("one").output).keys() == {"cola"}


def test_what_has_no_rate_from_the_first_seed_is_left_out_for_the_others(judge, candidate):
    judge([candidate("one")], diverging=["sst2"])
    evaluated, said = judge([candidate("later", first="one")])
    assert [found[:2] for found in evaluated] == [("later", "cola")]
    assert "sst2: no learning rate is finite for the first seed; later is left out" in said


def test_a_later_seed_takes_the_rate_of_the_first(judge, candidate):
    judge([candidate("one")])
    evaluated, _ = judge([candidate("later", first="one")])
    assert {rates for _, _, rates in evaluated} == {(1e-3,)}
