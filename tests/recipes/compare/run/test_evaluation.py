"""Which models are evaluated on what, and what becomes of a fine-tuning whose loss is not finite."""

import shutil

import pytest

from miniend.errors import TrainingError
from miniend.evaluation.records import ModelFacts, SeedRecord, plain, write_record
from miniend.evaluation.report import write_results
from miniend.recipes.compare.file.paths import Paths
from miniend.recipes.compare.file.reading import read_comparison
from miniend.recipes.compare.run import evaluation as module
from miniend.recipes.compare.run.evaluation import Candidate, Evaluator
from miniend.recipes.compare.run.training import Training
from miniend.runtime.claims import Claims

TASKS = {"glue/sst2": None, "glue/cola": None}
SCORES = {"sst2": {"accuracy": 90.0}, "cola": {"matthews": 20.0}}
RATES = (1e-3, 3e-3)
FACTS = ModelFacts(
    parameters=2,
    parameters_without_embeddings=1,
    gflops=1.0,
    latency_ms=1.0,
    examples_per_second=1.0,
    device="CPU",
)


@pytest.fixture
def evaluate_all(monkeypatch, written, tmp_path, settings):
    """evaluate_all(candidates, diverging, refusing, stopping): what was evaluated and said. tasks in `diverging` fail
    after their first seed, tasks in `refusing` before it, and before `stopping` is summed up the process ends."""
    evaluation = settings()["evaluate"] | {"learning_rates": list(RATES), "seeds": 2}
    comparison = read_comparison(written(tasks=TASKS, evaluate=evaluation))
    paths = Paths(tmp_path / "out")

    def run(candidates, diverging=(), refusing=(), stopping=None):
        evaluated, said = [], []

        def evaluate(config, _log, nested):
            (task,) = config.tasks
            name = task.removeprefix("glue/")
            evaluated.append((config.output.name, name, config.learning_rates))
            write_record(config.output / "model.json", {"model": "m", "protocol": "head", "digest": "d"})
            write_record(config.output / "facts.json", plain(FACTS))
            if name in refusing:
                raise TrainingError("the loss is finite at none of the rates")
            rate = config.learning_rates[-1]
            for tried in config.learning_rates if len(config.learning_rates) > 1 else ():
                write_record(config.output / name / f"learning-rate-{tried:g}.json", {"score": tried})
            for seed in range(config.seeds):
                record = SeedRecord(
                    seed=seed,
                    learning_rate=rate,
                    seconds=1.0,
                    scores={name: SCORES[name]},
                    unreadable={name: 0},
                    predictions={},
                )
                write_record(config.output / name / f"seed-{seed}.json", plain(record))
                if name in diverging:
                    raise TrainingError("the loss is not finite")
            if stopping != name:
                write_results(config.output)
            elif stopping:
                raise KeyboardInterrupt

        monkeypatch.setattr(module, "evaluate", evaluate)
        with Claims(paths.root) as claims:
            training = Training(comparison, paths, claims, said.append)
            Evaluator(comparison, paths, training, claims, said.append).evaluate(candidates)
        return evaluated, said

    return run


@pytest.fixture
def candidate(tmp_path):
    """candidate(name, first): a model of that name."""

    def named(name, first=None):
        folder = tmp_path / "out" / "evaluated"
        return Candidate(name, folder / name, folder / first if first else None)

    return named


def test_a_model_is_evaluated_once_on_every_task(evaluate_all, candidate):
    both = [candidate("one"), candidate("other")]
    evaluated, _ = evaluate_all(both)
    assert evaluated == [(model, task, RATES) for model in ("one", "other") for task in ("sst2", "cola")]
    assert evaluate_all(both) == ([], [])


def test_a_task_whose_fine_tuning_diverges_is_left_out_and_not_tried_again(evaluate_all, candidate):
    evaluated, said = evaluate_all([candidate("one"), candidate("other")], diverging=["sst2"])
    assert len(evaluated) == 4
    assert "one is left out of glue/sst2: the loss is not finite" in said
    one = candidate("one").output
    assert (one / "sst2" / "failed.json").exists()
    assert not (one / "cola" / "failed.json").exists()
    assert evaluate_all([candidate("one"), candidate("other")]) == ([], [])


def test_what_is_removed_is_made_again(evaluate_all, candidate):
    """A record that cannot be read, and a task that failed."""
    evaluate_all([candidate("one")], diverging=["cola"])
    output = candidate("one").output
    (output / "sst2" / "seed-0.json").unlink()
    shutil.rmtree(output / "cola")
    assert {task for _, task, _ in evaluate_all([candidate("one")])[0]} == {"sst2", "cola"}
    assert module.fine_tuned_tasks(output).keys() == {"sst2", "cola"}


def test_a_later_seed_is_left_out_where_the_first_has_no_finite_rate(evaluate_all, candidate):
    evaluate_all([candidate("one")], refusing=["sst2"])
    evaluated, said = evaluate_all([candidate("later", first="one")])
    assert [task for _, task, _ in evaluated] == ["cola"]
    assert any(line.startswith("later is left out of glue/sst2: no learning rate gave the first seed") for line in said)
    assert evaluate_all([candidate("later", first="one")]) == ([], [])


def test_a_later_seed_takes_the_rate_of_the_first(evaluate_all, candidate):
    evaluate_all([candidate("one")])
    evaluated, _ = evaluate_all([candidate("later", first="one")])
    assert evaluated == [("later", "sst2", RATES[-1:]), ("later", "cola", RATES[-1:])]


def test_a_kill_behind_the_last_seed_leaves_no_hole_in_the_results(evaluate_all, candidate):
    """Though there are results, of the task before."""
    with pytest.raises(KeyboardInterrupt):
        evaluate_all([candidate("one")], stopping="cola")
    output = candidate("one").output
    assert module.fine_tuned_tasks(output).keys() == {"sst2"}
    assert evaluate_all([candidate("one")])[0] == []
    assert module.fine_tuned_tasks(output).keys() == {"sst2", "cola"}
