"""What an evaluation runs: which rates and seeds on which examples, what is not run again, and what is refused."""

import json

import pytest
import torch

from miniend.errors import ConfigurationError, OutputBusyError, RunMismatchError, TrainingError
from miniend.evaluation import evaluate as module
from miniend.evaluation.config import EvaluateConfig
from miniend.evaluation.evaluate import evaluate
from miniend.evaluation.protocols.protocol import Predictions
from miniend.evaluation.records import TaskSummary
from miniend.evaluation.report import describe
from miniend.evaluation.tasks.known import find_task
from miniend.evaluation.tasks.sources import load_task
from miniend.evaluation.tuning.fine_tuning import FineTuning
from miniend.runtime.claims import sole_writer
from miniend.runtime.options import flag_of
from support.tiny_t5 import build_tiny_t5


def silent(_line):
    pass


def test_the_learning_rate_is_chosen_without_the_development_set(config, fake):
    """On a part of train, on which those trials do not train; the seeds then train on all of it."""
    tuning = fake(wrong=(1e-4, 3e-4))
    results = evaluate(config(), silent)
    assert results.tasks["sst2"].learning_rate == 2e-4
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


def test_no_more_than_a_thousand_examples_judge_a_rate(config, fake, sentiment, write_rows, tmp_path):
    """Of a large task a tenth would be too much to predict."""
    for name in ("train", "dev"):
        write_rows(tmp_path / f"{name}.tsv", sentiment(10_010))
    tuning = fake()
    evaluate(config(data=tmp_path, seeds=1, eval_examples=1), silent)
    assert [len(train) for _, _, train, _ in tuning.calls] == [9010, 9010, 9010, 10_010]


def test_a_rate_that_diverges_is_not_chosen(config, fake):
    """Of equals the smallest; where all diverge the user is told."""
    fake(diverging=(1e-4,))
    assert evaluate(config(), silent).tasks["sst2"].learning_rate == 2e-4


def test_a_score_of_nothing_is_a_score(config, fake):
    """A weak student may learn nothing at any rate, which is a finding."""
    fake(wrong=(1e-4, 2e-4, 3e-4))
    assert evaluate(config(), silent).tasks["sst2"].learning_rate == 1e-4


def test_rates_that_all_diverge_are_refused(config, fake):
    """With what to do."""
    fake(diverging=(1e-4, 2e-4, 3e-4))
    with pytest.raises(TrainingError, match="give lower ones with --learning-rate"):
        evaluate(config(), silent)


def test_a_second_evaluation_of_one_directory_is_refused(config, fake):
    """Both would fine-tune every seed, and each would overwrite the other's results."""
    fake()
    with sole_writer(config().output), pytest.raises(OutputBusyError, match="is being written by another process"):
        evaluate(config(), silent)
    evaluate(config(), silent)


def test_one_of_several_processes_is_refused(config, fake, monkeypatch):
    """Both ranks fine-tuned with twice the batch and wrote the same files: accuracy 40.0 where it was 36.7."""
    fake()
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(
        ConfigurationError, match=r"works in one process, but a launcher started several \(WORLD_SIZE=2\)"
    ):
        evaluate(config(), silent)


def test_adafactor_has_rates_of_its_own(config):
    """Which are relative to each matrix's size."""
    for task in ("glue/sst2", "summarize/xsum"):
        asked = config(tasks=(task,), optimizer="adafactor")
        assert asked.rates(find_task(task)) == (1e-3, 3e-3, 1e-2)
    assert config(optimizer="adafactor", learning_rates=(2e-3,)).rates(find_task("glue/sst2")) == (2e-3,)


def test_what_was_finished_is_not_run_again(config, fake):
    """Interrupted in seed 1 of 2: the rates and seed 0 are kept, and a third seed may be added later."""
    fake(stop_at=5)
    with pytest.raises(KeyboardInterrupt):
        evaluate(config(), silent)
    second = fake()
    assert len(evaluate(config(), silent).results["sst2"]["accuracy"].values) == 2
    assert [(rate, seed) for rate, seed, _, _ in second.calls] == [(1e-4, 1)]
    third = fake()
    assert len(evaluate(config(seeds=3), silent).results["sst2"]["accuracy"].values) == 3
    assert [seed for _, seed, _, _ in third.calls] == [2]


def test_other_settings_are_not_mixed(config, fake, sentiment, write_rows, tokenizer, tmp_path):
    """Whatever decides a score: settings, data, protocol, model."""
    fake()
    evaluate(config(), silent)
    other = tmp_path / "other"
    for name in ("train.tsv", "dev.tsv"):
        write_rows(other / name, sentiment(20))
    asked = {"epochs": 2, "batch_size": 4, "train_examples": 20, "eval_examples": 5, "bf16": True, "max_length": 64}
    asked |= {"optimizer": "adafactor"}
    asked |= {"learning_rates": (1e-3,), "data": other, "protocol": "text"}
    for name, value in asked.items():
        with pytest.raises(RunMismatchError, match=f"{flag_of(EvaluateConfig, name)}: there"):
            evaluate(config(**{name: value}), silent)
    build_tiny_t5(tmp_path / "model", tokenizer, layers=(1, 1), seed=1)
    with pytest.raises(RunMismatchError, match="--model: there"):
        evaluate(config(model=str(tmp_path / "model")), silent)


def test_what_is_asked_for_reaches_the_fine_tuning(config, monkeypatch):
    """Each seed with all of it; a rate named twice is one."""
    calls = []

    def tuning(_protocol, train, development, settings, title, _keep):
        calls.append((settings, len(train), len(development["sst2"]), title))
        return {"sst2": Predictions([0.0] * 3, 2)}

    monkeypatch.setattr(module, "fine_tune_and_predict", tuning)
    asked = {"optimizer": "adafactor", "epochs": 7, "batch_size": 3, "bf16": True}
    asked |= {"train_examples": 15, "eval_examples": 3}
    results = evaluate(config(**asked, learning_rates=(2e-3, 2e-3)), silent)
    chosen = {"optimizer": "adafactor", "learning_rate": 2e-3, "epochs": 7, "batch_size": 3, "bf16": True}
    chosen |= {"device": torch.device("cpu")}
    assert calls == [(FineTuning(**chosen, seed=seed), 15, 3, f"sst2, rate 0.002, seed {seed}") for seed in (0, 1)]
    assert results.tasks["sst2"] == TaskSummary(learning_rate=2e-3, seeds=(0, 1), unreadable=4)


def test_each_development_set_is_scored_against_its_own_labels(config, monkeypatch, write_rows, tmp_path):
    """A model that says "entailment" of everything is right of three and of one in four; both sets' answers are kept."""
    columns = ("sentence1", "sentence2", "gold_label")
    labels = {"train": "nnnn", "dev_matched": "eeen", "dev_mismatched": "ncce"}
    words = {"e": "entailment", "n": "neutral", "c": "contradiction"}
    for name, letters in labels.items():
        write_rows(tmp_path / f"{name}.tsv", [dict(zip(columns, ("a", "b", words[c]), strict=True)) for c in letters])

    def tuning(_protocol, _train, development, _settings, _title, _keep):
        return {name: Predictions([0.0] * len(part), 0) for name, part in development.items()}

    monkeypatch.setattr(module, "fine_tune_and_predict", tuning)
    asked = {"tasks": ("glue/mnli",), "data": tmp_path, "seeds": 1, "learning_rates": (1e-3,)}
    results = evaluate(config(**asked), silent).results
    assert results["mnli_matched"]["accuracy"].mean == 75.0
    assert results["mnli_mismatched"]["accuracy"].mean == 25.0
    record = json.loads((tmp_path / "out" / "mnli" / "seed-0.json").read_text())
    assert record["predictions"] == {"mnli_matched": [0.0] * 4, "mnli_mismatched": [0.0] * 4}


def test_size_and_speed_are_measured_once(config, fake, monkeypatch):
    """Of one model, on a machine that may be busy the next time."""
    fake()
    first = evaluate(config(), silent)
    monkeypatch.setattr(module, "model_facts", None)
    assert evaluate(config(seeds=3), silent).facts == first.facts
    assert first.model == config().model


def test_a_task_named_twice_is_read_once(config, fake, monkeypatch):
    """Its records would be made once anyhow."""
    fake()
    seen = []
    monkeypatch.setattr(module, "load_task", lambda task, *others: seen.append(task.name) or load_task(task, *others))
    evaluate(config(tasks=("glue/sst2", "glue/sst2"), seeds=1, learning_rates=(1e-3,)), silent)
    assert seen == ["sst2"]


def test_another_gpu_than_the_first_is_refused(config, monkeypatch):
    """Trainer would take the first one all the same."""
    monkeypatch.setattr(module, "choose_device", torch.device)
    with pytest.raises(ConfigurationError, match="CUDA_VISIBLE_DEVICES=1"):
        evaluate(config(device="cuda:1"), silent)


def test_tasks_of_several_runs_are_summed_up_together(config, fake, write_rows, tmp_path):
    """Each task may have its own epochs."""
    fake()
    evaluate(config(), silent)
    for name in ("train", "dev"):
        rows = [{"sentence1": "a", "sentence2": "b", "label": n % 2} for n in range(20)]
        write_rows(tmp_path / "rte" / f"{name}.jsonl", rows)
    results = evaluate(config(tasks=("glue/rte",), data=tmp_path / "rte", epochs=5), silent)
    assert list(results.results) == ["sst2", "rte"]
    assert results.as_json() == json.loads((tmp_path / "out" / "results.json").read_text())


def test_all_tasks_give_the_glue_score(config, fake, write_rows, tmp_path):
    """And the table has a line for each of the eight, and for their mean."""
    from miniend.evaluation.tasks.known import TASKS

    names = ("sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte")
    for name in names:
        task = TASKS[name]
        rows = [dict.fromkeys(task.fields, "a") | {"label": n % 2} for n in range(10)]
        for part in ("train", *(files[-1] for files in task.development.values())):
            write_rows(tmp_path / "glue" / name / f"{part}.jsonl", rows)
    fake()
    asked = {"tasks": tuple(f"glue/{name}" for name in names), "data": tmp_path / "glue", "seeds": 1}
    results = evaluate(config(**asked, learning_rates=(1e-4,)), silent)
    assert results.glue_score == pytest.approx(100.0)
    lines = describe(results)
    assert any(line.split() == ["mnli_mismatched", "accuracy", "100.00", "-", "1", "50.00"] for line in lines)
    assert lines[-1].split() == ["GLUE", "score", "mean", "of", "8", "100.00"]


def test_what_was_read_is_said_before_the_model_is_loaded(config, fake):
    """A wrong file shows in its name, its size or the share of its labels, and not in a score after hours."""
    fake()
    said = []
    evaluate(config(learning_rates=(1e-4,)), said.append)
    folder = config().data / "SST-2"
    labels = "negative 50.0%, positive 50.0%, longest text"
    assert said[0].startswith(f"glue/sst2: train {folder / 'train.tsv'}, 40 examples, {labels} 13 characters; ")
    assert f"sst2 {folder / 'dev.tsv'}, 12 examples, {labels}" in said[0]


@pytest.mark.parametrize(("wrong", "score"), [((), 100.0), ((1e-4,), 0.0)])
def test_the_score_is_printed_beside_the_one_of_the_most_frequent_answer(
    config, fake, tmp_path, write_rows, wrong, score
):
    """An accuracy of 80 is nothing where 80 of 100 labels are the same."""
    rows = [{"sentence": f"film {n}", "label": int(n % 5 > 0)} for n in range(20)]
    for name in ("train", "dev"):
        write_rows(tmp_path / "sst2" / f"{name}.tsv", rows)
    fake(wrong=wrong)
    results = evaluate(config(data=tmp_path, seeds=1, learning_rates=(1e-4,)), silent)
    assert results.baselines == {"sst2": {"accuracy": 80.0}}
    line = next(line for line in describe(results) if line.startswith("sst2 "))
    assert line.split() == ["sst2", "accuracy", f"{score:.2f}", "-", "1", "80.00"]


def test_predictions_are_kept_with_their_examples(config, fake, tmp_path):
    """Numbers without texts cannot be read by anybody, and the data may be gone by then."""
    fake()
    evaluate(config(seeds=1, learning_rates=(1e-4,), eval_examples=5), silent)
    examples = json.loads((tmp_path / "out" / "sst2" / "examples.json").read_text())
    record = json.loads((tmp_path / "out" / "sst2" / "seed-0.json").read_text())
    assert [example["label"] for example in examples["sst2"]] == record["predictions"]["sst2"]
    assert all(set(example) == {"texts", "label"} and "film" in example["texts"][0] for example in examples["sst2"])


def test_a_link_in_the_output_is_refused(config, fake, tmp_path):
    """A stranger's directory could have its records written elsewhere."""
    fake()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "sst2").symlink_to(tmp_path)
    with pytest.raises(RunMismatchError, match="sst2 is a link to"):
        evaluate(config(), silent)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"seeds": 0}, "--seeds must be at least 1"),
        ({"train_examples": 0}, "--train-examples must be at least 1"),
        ({"eval_examples": 0}, "--eval-examples must be at least 1"),
        ({"max_length": 7}, "--max-length must be at least 8, not 7"),
        ({"max_summary_length": 7}, "--max-summary-length must be at least 8"),
        ({"tasks": ()}, "--task: expected at least one"),
        ({"tasks": ("glue/sst",)}, "unknown task"),
        ({"protocol": "heads"}, "--protocol 'heads': expected one of head, text"),
        ({"optimizer": "sgd"}, "--optimizer 'sgd': expected one of adamw, adafactor"),
        ({"learning_rates": (1e-3, 1.0)}, "between 0 and 1"),
        ({"learning_rates": (0.0,)}, "between 0 and 1"),
    ],
)
def test_settings_that_cannot_work_are_refused(config, changed, message):
    """Before anything is loaded."""
    with pytest.raises(ConfigurationError, match=message):
        config(**changed)
