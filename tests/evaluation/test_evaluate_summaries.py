"""An evaluation on summaries from end to end: what is learnt, scored, kept, and run again."""

import json
import sys

import pytest

from miniend.errors import CheckpointError, ConfigurationError, CorpusError, RunMismatchError
from miniend.evaluation import evaluate as module
from miniend.evaluation.evaluate import evaluate
from miniend.evaluation.protocols.protocol import Predictions
from miniend.evaluation.report import describe


@pytest.fixture
def summarise(config, summary_folder):
    """summarise(**changed): one seed of tiny XSum at one learning rate."""

    def build(**changed):
        settings = {"tasks": ("summarize/xsum",), "data": summary_folder, "seeds": 1, "learning_rates": (1e-3,)}
        return config(**settings | {"max_summary_length": 16} | changed)

    return build


def silent(_line):
    pass


def test_summaries_that_can_be_learnt_are_learnt(summarise, tmp_path):
    """One word of the text tells the summary; what was said is kept, and the head that was asked for is none."""
    said = []
    results = evaluate(summarise(epochs=25, batch_size=4, learning_rates=(1e-2,), protocol="head"), said.append)
    assert list(results.results["xsum"]) == ["rouge1", "rouge2", "rougeL", "rougeLsum"]
    assert results.results["xsum"]["rouge2"].mean > 90
    record = json.loads((tmp_path / "out" / "xsum" / "seed-0.json").read_text())
    rows = (summarise().data / "xsum" / "validation.csv").read_text().splitlines()[1:]
    right = [row.split(",")[1] for row in rows]
    assert len(record["predictions"]["xsum"]) == len(right) == 12
    assert sum(a == b for a, b in zip(record["predictions"]["xsum"], right, strict=True)) >= 10
    assert said[1] == "xsum: 12 of 12 examples of the development set xsum are also in train"
    assert said[2].startswith("xsum, seed 0: xsum rouge1 ")
    assert results.glue_score is None
    lines = describe(results)
    assert lines[0].endswith(", protocol head; summaries as text")
    assert any(line.split()[:2] == ["xsum", "rougeLsum"] for line in lines)


def test_the_learning_rate_is_the_best_by_rouge_on_a_part_of_train(summarise, fake, tmp_path):
    """At most a hundred examples of it, since beams are slow; by default the rates of text."""
    rows = "".join(f"text {n},summary {n}\n" for n in range(1200))
    for name in ("train", "dev"):
        (tmp_path / f"{name}.csv").write_text("document,summary\n" + rows)
    tuning = fake(wrong=(1e-4,))
    results = evaluate(summarise(data=tmp_path, learning_rates=(), eval_examples=50), silent)
    assert results.tasks["xsum"].learning_rate == 3e-4
    calls = [
        (rate, seed, len(train), {n: len(part) for n, part in parts.items()})
        for rate, seed, train, parts in tuning.calls
    ]
    assert calls == [
        *[(rate, 0, 1100, {"held_out": 100}) for rate in (1e-4, 3e-4, 1e-3)],
        (3e-4, 0, 1200, {"xsum": 50}),
    ]
    record = json.loads((tmp_path / "out" / "xsum" / "learning-rate-0.0001.json").read_text())
    assert (record["metric"], record["score"], record["held_out"]) == ("rouge1", 0.0, 100)


def test_what_was_finished_is_not_run_again(summarise, fake):
    """Interrupted in seed 1 of 2."""
    fake(stop_at=2)
    with pytest.raises(KeyboardInterrupt):
        evaluate(summarise(seeds=2), silent)
    second = fake()
    assert len(evaluate(summarise(seeds=2), silent).results["xsum"]["rouge1"].values) == 2
    assert [seed for _, seed, _, _ in second.calls] == [1]


def test_other_settings_are_not_mixed(summarise, fake):
    """The lengths and the part that is scored; what belongs to the other kind of task is nothing here."""
    fake()
    evaluate(summarise(), silent)
    for changed in ({"max_summary_length": 24}, {"max_length": 24}, {"eval_examples": 5}):
        with pytest.raises(RunMismatchError, match=f"--{next(iter(changed)).replace('_', '-')}: there"):
            evaluate(summarise(**changed), silent)
    evaluate(summarise(max_length=512), silent)


def test_the_length_of_summaries_is_nothing_to_labels(summarise, fake, sentiment_folder):
    """A GLUE task that is done stays done, whatever summaries are asked for beside it."""
    asked = {"tasks": ("glue/sst2",), "data": sentiment_folder}
    evaluate(summarise(**asked, epochs=1), silent)
    evaluate(summarise(**asked, epochs=1, max_summary_length=99), silent)


def test_kinds_of_tasks_are_summed_up_together(summarise, sentiment_folder, fake):
    """Labels and summaries of one model in one table, in the order of the tasks."""
    evaluate(summarise(tasks=("glue/sst2",), data=sentiment_folder), silent)
    fake()
    results = evaluate(summarise(), silent)
    assert {name: list(metrics) for name, metrics in results.results.items()} == {
        "sst2": ["accuracy"],
        "xsum": ["rouge1", "rouge2", "rougeL", "rougeLsum"],
    }
    assert results.results["xsum"]["rougeL"].mean == pytest.approx(100.0)


def test_a_part_of_the_development_set_is_drawn_once(summarise, monkeypatch):
    """The same for every student and seed, and scored against its own references."""
    seen = []

    def tuning(_protocol, _train, development, _settings, _title, _keep):
        seen.append(development["xsum"])
        return {"xsum": Predictions([e.references[0] for e in development["xsum"]], 0)}

    monkeypatch.setattr(module, "fine_tune_and_predict", tuning)
    results = evaluate(summarise(seeds=2, eval_examples=5), silent)
    assert len(seen[0]) == 5
    assert seen[0] == seen[1]
    assert results.results["xsum"]["rouge1"].values == (100.0, 100.0)


def test_a_library_that_is_missing_is_told_first(summarise, monkeypatch, tmp_path):
    """And not after hours of training."""
    monkeypatch.setitem(sys.modules, "rouge_score.rouge_scorer", None)
    with pytest.raises(ConfigurationError, match="rouge-score"):
        evaluate(summarise(data=tmp_path / "nowhere"), silent)


def test_a_model_that_is_no_encoder_decoder_is_refused(summarise, tmp_path):
    """Nothing is written."""
    (tmp_path / "gpt").mkdir()
    (tmp_path / "gpt" / "config.json").write_text('{"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"]}')
    with pytest.raises(CheckpointError, match="not a T5-family model"):
        evaluate(summarise(model=str(tmp_path / "gpt")), silent)
    assert not (tmp_path / "out").exists()


def test_a_file_of_other_columns_is_refused(summarise, tmp_path):
    """With those that it has, before the model is loaded."""
    (tmp_path / "all.csv").write_text("text,label\na,1\n")
    with pytest.raises(CorpusError, match="needs the columns document and summary; found text, label"):
        evaluate(summarise(data=tmp_path / "all.csv", model="nowhere"), silent)
