"""Which students are trained at which rates, and what becomes of those whose loss is not finite."""

import json
import math

import pytest

from miniend.errors import NotFiniteError, TrainingError
from miniend.recipes.compare.file.paths import Paths
from miniend.recipes.compare.file.reading import read_comparison
from miniend.recipes.compare.run import training as module
from miniend.recipes.compare.run.training import Training
from miniend.runtime.claims import Claims


class FakeTraining:
    """Stands for train_students: a run of rate r ends at the loss that `losses` names, or fails where that is None."""

    def __init__(self, losses):
        self.losses, self.passes = losses, []

    def __call__(self, configs, _log, *, grow):
        assert not grow  # a comparison never continues a student with more steps
        self.passes.append([(c.output.name.split("-lr-")[0], c.learning_rate, c.seed) for c in configs])
        for config in configs:
            loss = self.losses[config.learning_rate]
            config.output.mkdir(parents=True, exist_ok=True)
            if loss is None:
                raise NotFiniteError("not finite at step 3")
            written = loss if math.isfinite(loss) else None  # as metrics.jsonl has it
            line = {"step": 4, "validation.loss": written, "validation.cross_entropy": 7.0}
            (config.output / "metrics.jsonl").write_text(json.dumps(line) + "\n")
            (config.output / "model.safetensors").touch()


@pytest.fixture
def trained(monkeypatch, written, tmp_path):
    """trained(losses, **changed): (Training, its comparison, the fake)."""

    def build(losses, **changed):
        fake = FakeTraining(losses)
        monkeypatch.setattr(module, "train_students", fake)
        comparison = read_comparison(written(**changed))
        claims = Claims(tmp_path / "out").__enter__()
        return Training(comparison, Paths(tmp_path / "out"), claims, lambda _line: None), comparison, fake

    return build


def test_the_first_seed_tries_every_rate_and_the_others_take_the_best(trained):
    training, comparison, fake = trained({1e-3: 5.0, 3e-3: 4.0})
    training.train(comparison.students, 0)
    training.train(comparison.students, 1)
    assert fake.passes == [
        [("1L32H-scratch", 1e-3, 0), ("1L32H-miniend-e", 1e-3, 0)],
        [("1L32H-scratch", 3e-3, 0), ("1L32H-miniend-e", 3e-3, 0)],
        [("1L32H-scratch", 3e-3, 1), ("1L32H-miniend-e", 3e-3, 1)],
    ]
    assert training.output(comparison.students[0], 1).name == "1L32H-scratch-lr-0.003-seed-1"


def test_a_row_with_rates_of_its_own_joins_the_passes_of_these_alone(trained):
    rates = {"scratch": [1e-3], "others": [1e-3, 3e-3]}
    training, comparison, fake = trained({1e-3: 5.0, 3e-3: 4.0}, learning_rates=rates)
    training.train(comparison.students, 0)
    assert fake.passes == [
        [("1L32H-scratch", 1e-3, 0), ("1L32H-miniend-e", 1e-3, 0)],
        [("1L32H-miniend-e", 3e-3, 0)],
    ]
    assert [training.rate(student) for student in comparison.students] == [1e-3, 3e-3]


def test_of_equal_losses_the_smallest_rate_is_taken(trained):
    training, comparison, _ = trained({1e-3: 4.0, 3e-3: 4.0}, learning_rates=[3e-3, 1e-3])
    training.train(comparison.students, 0)
    assert training.rate(comparison.students[0]) == 1e-3


def test_a_single_rate_is_taken_untried(trained):
    training, comparison, _ = trained({1e-3: 4.0}, learning_rates=1e-3)
    assert training.rate(comparison.students[0]) == 1e-3


def test_a_rate_whose_loss_is_not_finite_is_passed_over_and_not_tried_again(trained):
    training, comparison, fake = trained({1e-3: 5.0, 3e-3: None})
    training.train(comparison.students, 0)
    assert fake.passes[1:] == [  # together, and then each by itself
        [("1L32H-scratch", 3e-3, 0), ("1L32H-miniend-e", 3e-3, 0)],
        [("1L32H-scratch", 3e-3, 0)],
        [("1L32H-miniend-e", 3e-3, 0)],
    ]
    assert training.rate(comparison.students[0]) == 1e-3
    training.train(comparison.students, 0)
    assert len(fake.passes) == 4


def test_a_student_whose_loss_is_finite_at_no_rate_ends_the_comparison(trained):
    training, comparison, _ = trained({1e-3: None, 3e-3: None})
    with pytest.raises(TrainingError, match=r"1L32H scratch, seed 0: the loss is finite at none of 0.001, 0.003"):
        training.train(comparison.students, 0)


def test_a_student_that_fails_with_a_later_seed_is_lost_and_the_others_go_on(trained):
    training, comparison, fake = trained({1e-3: 4.0}, learning_rates=1e-3)
    training.train(comparison.students, 0)
    fake.losses[1e-3] = None
    training.train(comparison.students, 1)
    student = comparison.students[0]
    assert [training.is_lost(student, seed) for seed in (0, 1)] == [False, True]
    assert training.missing(student, 1) == 0
    assert len(fake.passes) == 1 + 3  # together, and then each by itself
    training.train(comparison.students, 1)
    assert len(fake.passes) == 4


def test_a_validation_loss_that_is_not_finite_is_never_the_best(trained):
    training, comparison, _ = trained({1e-3: 5.0, 3e-3: math.nan})
    training.train(comparison.students, 0)
    assert training.rate(comparison.students[0]) == 1e-3


def test_students_that_need_other_settings_or_another_cache_train_in_passes_of_their_own(trained):
    rows = {
        "scratch": None,
        "long": {"objective": "scratch", "steps": 8},
        "other": {"objective": "minilm", "cache": "c"},
    }
    caches = {"c": {"relation_temperature": "calibrated"}}
    training, comparison, fake = trained({1e-3: 4.0}, rows=rows, caches=caches, learning_rates=1e-3)
    training.train(comparison.students, 0)
    assert sorted(fake.passes) == [[("1L32H-long", 1e-3, 0)], [("1L32H-other", 1e-3, 0)], [("1L32H-scratch", 1e-3, 0)]]


def test_what_is_missing_counts_the_runs_that_are_still_to_be_made(trained):
    training, comparison, _ = trained({1e-3: 5.0, 3e-3: 4.0})
    student = comparison.students[0]
    assert [training.missing(student, seed) for seed in (0, 1)] == [2, 1]
    training.train([student], 0)
    assert [training.missing(student, seed) for seed in (0, 1)] == [0, 1]
    training.train([student], 1)
    assert [training.missing(student, seed) for seed in (0, 1)] == [0, 0]
