"""A judgement from end to end: what is trained on what, what is run again, and what it says."""

import json
import sys

import pytest

from miniend.errors import CheckpointError, ConfigurationError, RunMismatchError, TrainingError
from miniend.evaluation import evaluate as module
from miniend.evaluation.evaluate import EvaluateConfig, evaluate
from miniend.evaluation.protocol import Predictions
from miniend.evaluation.report import describe


@pytest.fixture
def config(model_folder, sentiment_folder, tmp_path):
    """config(**changed): two seeds of tiny SST-2, on one CPU."""

    def build(**changed):
        settings = {"model": str(model_folder), "tasks": ("glue/sst2",), "data": sentiment_folder, "device": "cpu"}
        settings |= {"output": tmp_path / "out", "seeds": 2, "epochs": 1, "batch_size": 8}
        return EvaluateConfig(**settings | changed)

    return build


def silent(_line):
    pass


class FakeTuning:
    """Stands for fine-tuning: predicts all labels right but at the rates named, and notes what it was asked for."""

    def __init__(self, wrong=(), diverging=(), stop_at=None):
        self.calls, self.wrong, self.diverging, self.stop_at = [], wrong, diverging, stop_at

    def __call__(self, _protocol, train, development, settings, _title):
        self.calls.append((settings.learning_rate, settings.seed, train, development))
        if len(self.calls) == self.stop_at:
            raise KeyboardInterrupt
        if settings.learning_rate in self.diverging:
            raise TrainingError("not finite")
        flip = settings.learning_rate in self.wrong
        return {
            name: Predictions([1 - e.label if flip else e.label for e in part], 0) for name, part in development.items()
        }


@pytest.fixture
def fake(monkeypatch):
    def install(**options):
        tuning = FakeTuning(**options)
        monkeypatch.setattr(module, "fine_tune_and_predict", tuning)
        return tuning

    return install


def test_a_task_that_can_be_learnt_is_learnt_by_the_head(config):
    """One word tells the label; a head on random weights finds it, in training and on the development set."""
    results = evaluate(config(seeds=1, epochs=12, learning_rates=(3e-3,)), silent)
    assert results["results"]["sst2"]["accuracy"]["mean"] == 100.0


def test_a_similarity_is_learnt_by_the_head(config, write_rows, tmp_path):
    """Squared error, scored by correlation."""
    words = ("awful", "dull", "fine", "great", "lovely")
    rows = [{"sentence1": words[n % 5], "sentence2": "film", "score": n % 5} for n in range(40)]
    for name in ("train", "dev"):
        write_rows(tmp_path / "data" / f"{name}.tsv", rows)
    asked = {"tasks": ("glue/stsb",), "data": tmp_path / "data", "seeds": 1, "epochs": 12, "learning_rates": (3e-3,)}
    results = evaluate(config(**asked), silent)
    assert results["results"]["stsb"]["spearman"]["mean"] > 80


def test_a_task_that_can_be_learnt_is_learnt_as_text(config):
    """The label word is generated; before training nothing that a random model says is one."""
    asked = {"protocol": "text", "seeds": 1, "epochs": 15, "learning_rates": (1e-2,)}
    results = evaluate(config(**asked), silent)
    assert results["tasks"]["sst2"]["unreadable"] == 0
    assert results["results"]["sst2"]["accuracy"]["mean"] == 100.0


def test_two_seeds_differ_and_one_is_the_same_again(config, tmp_path):
    """Both numbers go into the spread; a seed decides its run."""
    asked = {"learning_rates": (1e-3,)}
    evaluate(config(**asked), silent)
    evaluate(config(**asked, output=tmp_path / "again"), silent)
    seeds = [json.loads((tmp_path / "out" / "sst2" / f"seed-{n}.json").read_text()) for n in (0, 1)]
    again = json.loads((tmp_path / "again" / "sst2" / "seed-0.json").read_text())
    assert seeds[0]["predictions"] == again["predictions"]
    assert [seed["seed"] for seed in seeds] == [0, 1]


def test_the_learning_rate_is_chosen_without_the_development_set(config, fake):
    """On a part of train, on which those trials do not train; the seeds then train on all of it."""
    tuning = fake(wrong=(1e-4, 3e-4))
    results = evaluate(config(), silent)
    assert results["tasks"]["sst2"]["learning_rate"] == 2e-4
    assert [(rate, seed) for rate, seed, _, _ in tuning.calls] == [
        (1e-4, 0),
        (2e-4, 0),
        (3e-4, 0),
        (2e-4, 0),
        (2e-4, 1),
    ]
    for _, _, train, development in tuning.calls[:3]:
        assert list(development) == ["held_out"]
        assert (len(train), len(development["held_out"])) == (36, 4)
    for _, _, train, development in tuning.calls[3:]:
        assert (list(development), len(train), len(development["sst2"])) == (["sst2"], 40, 12)


def test_a_rate_that_diverges_is_not_chosen(config, fake):
    """Of equals the smallest; where all diverge the user is told."""
    fake(diverging=(1e-4,))
    assert evaluate(config(), silent)["tasks"]["sst2"]["learning_rate"] == 2e-4


def test_rates_that_all_diverge_are_refused(config, fake):
    """With what to do."""
    fake(diverging=(1e-4, 2e-4, 3e-4))
    with pytest.raises(TrainingError, match="give lower ones by --learning-rate"):
        evaluate(config(), silent)


def test_what_was_finished_is_not_run_again(config, fake):
    """Interrupted in seed 1 of 2: the rates and seed 0 are kept, and a third seed may be added later."""
    fake(stop_at=5)
    with pytest.raises(KeyboardInterrupt):
        evaluate(config(), silent)
    second = fake()
    assert len(evaluate(config(), silent)["results"]["sst2"]["accuracy"]["values"]) == 2
    assert [(rate, seed) for rate, seed, _, _ in second.calls] == [(1e-4, 1)]
    third = fake()
    assert len(evaluate(config(seeds=3), silent)["results"]["sst2"]["accuracy"]["values"]) == 3
    assert [seed for _, seed, _, _ in third.calls] == [2]


def test_other_settings_are_not_mixed(config, fake, sentiment, write_rows, tmp_path):
    """Epochs, data, protocol."""
    fake()
    evaluate(config(), silent)
    other = tmp_path / "other"
    for name in ("train.tsv", "dev.tsv"):
        write_rows(other / name, sentiment(20))
    for changed, named in [({"epochs": 2}, "epochs"), ({"data": other}, "data"), ({"protocol": "text"}, "protocol")]:
        with pytest.raises(RunMismatchError, match=f"{named}: there"):
            evaluate(config(**changed), silent)


def test_tasks_of_several_runs_are_summed_up_together(config, fake, write_rows, tmp_path):
    """Each task may have its own epochs."""
    fake()
    evaluate(config(), silent)
    for name in ("train", "dev"):
        rows = [{"sentence1": "a", "sentence2": "b", "label": n % 2} for n in range(20)]
        write_rows(tmp_path / "rte" / f"{name}.jsonl", rows)
    results = evaluate(config(tasks=("glue/rte",), data=tmp_path / "rte", epochs=5), silent)
    assert list(results["results"]) == ["sst2", "rte"]
    assert results == json.loads((tmp_path / "out" / "results.json").read_text())


def test_all_tasks_give_the_glue_score(config, fake, write_rows, tmp_path):
    """And the table has a line for each of the eight, and for their mean."""
    from miniend.evaluation.tasks import TASKS

    names = ("sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte")
    for name in names:
        task = TASKS[name]
        rows = [dict.fromkeys(task.fields, "a") | {"label": n % 2} for n in range(10)]
        for part in ("train", *(files[-1] for files in task.development.values())):
            write_rows(tmp_path / "glue" / name / f"{part}.jsonl", rows)
    fake()
    asked = {"tasks": tuple(f"glue/{name}" for name in names), "data": tmp_path / "glue", "seeds": 1}
    results = evaluate(config(**asked, learning_rates=(1e-4,)), silent)
    assert results["glue_score"] == pytest.approx(100.0)
    lines = describe(results)
    assert any(line.split() == ["mnli_mismatched", "accuracy", "100.00", "-", "1"] for line in lines)
    assert lines[-1].split() == ["GLUE", "score", "mean", "of", "8", "100.00"]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"seeds": 0}, "--seeds should be at least 1"),
        ({"train_examples": 0}, "--train-examples should be at least 1"),
        ({"max_length": 2}, "--max-length should be at least 8"),
        ({"tasks": ()}, "at least one --task"),
        ({"tasks": ("glue/sst",)}, "unknown task"),
        ({"protocol": "heads"}, "unknown protocol"),
        ({"learning_rates": (1.5,)}, "between 0 and 1"),
    ],
)
def test_settings_that_cannot_work_are_refused(config, changed, message):
    """Before anything is loaded."""
    with pytest.raises(ConfigurationError, match=message):
        config(**changed)


def test_a_model_that_is_no_encoder_decoder_is_refused(config, tmp_path):
    """Nothing is written."""
    (tmp_path / "bert").mkdir()
    (tmp_path / "bert" / "config.json").write_text('{"model_type": "bert", "architectures": ["BertModel"]}')
    with pytest.raises(CheckpointError, match="not a T5-family encoder-decoder"):
        evaluate(config(model=str(tmp_path / "bert")), silent)
    assert not (tmp_path / "out").exists()


def test_the_command_prints_a_table_and_is_quiet_otherwise(
    monkeypatch, capfd, model_folder, sentiment_folder, tmp_path
):
    """No bars and no dictionaries of Trainer's where there is no terminal."""
    from miniend import cli

    asked = {
        "model": model_folder,
        "task": "glue/sst2",
        "data": sentiment_folder,
        "output": tmp_path / "out",
        "seeds": 1,
    }
    asked |= {"epochs": 1, "learning-rate": 1e-3, "device": "cpu", "protocol": "text"}
    monkeypatch.setattr(sys, "argv", ["miniend", "evaluate", *(f"--{name}={value}" for name, value in asked.items())])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    said = capfd.readouterr()
    assert not ended.value.code
    assert said.err == ""
    lines = said.out.splitlines()
    assert lines[0].startswith("sst2, seed 0: sst2 accuracy")
    assert any(line.startswith("sst2 ") and "accuracy" in line for line in lines[1:])
    assert "train_runtime" not in said.out
