"""An evaluation from end to end: what is learnt, and what the command says."""

import json
import sys

import pytest
import torch
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

from miniend.errors import CheckpointError, ConfigurationError
from miniend.evaluation.checkpoint import load_checkpoint
from miniend.evaluation.evaluate import evaluate
from support.launchers import WANTED
from support.tiny_t5 import build_tiny_t5


def silent(_line):
    pass


def test_a_task_that_can_be_learnt_is_learnt_by_the_head(config):
    """One word tells the label; a head on random weights finds it, in training and on the development set."""
    results = evaluate(config(seeds=1, epochs=12, learning_rates=(3e-3,)), silent)
    assert results.results["sst2"]["accuracy"].mean == 100.0


def test_a_similarity_is_learnt_by_the_head(config, write_rows, tmp_path):
    """Squared error, scored by correlation."""
    words = ("awful", "dull", "fine", "great", "lovely")
    rows = [{"sentence1": words[n % 5], "sentence2": "film", "score": n % 5} for n in range(40)]
    for name in ("train", "dev"):
        write_rows(tmp_path / "data" / f"{name}.tsv", rows)
    asked = {"tasks": ("glue/stsb",), "data": tmp_path / "data", "seeds": 1, "epochs": 12, "learning_rates": (3e-3,)}
    results = evaluate(config(**asked), silent)
    assert results.results["stsb"]["spearman"].mean > 80


def test_a_task_that_can_be_learnt_is_learnt_as_text(config):
    """The label word is generated; before training nothing that a random model says is one."""
    asked = {"protocol": "text", "seeds": 1, "epochs": 15, "learning_rates": (1e-2,)}
    results = evaluate(config(**asked), silent)
    assert results.tasks["sst2"].unreadable == 0
    assert results.results["sst2"]["accuracy"].mean == 100.0


def test_a_model_that_is_kept_is_scored_alike_without_training(config, tmp_path):
    """The chain of a teacher: fine-tuned as text, kept as an ordinary checkpoint, scored as it is."""
    asked = {"protocol": "text", "seeds": 1, "epochs": 3, "learning_rates": (1e-2,)}
    said = []
    evaluate(config(**asked, keep_model=True), said.append)
    kept = tmp_path / "out" / "sst2" / "seed-0"
    assert f"model: {kept}" in said
    assert AutoTokenizer.from_pretrained(kept).get_vocab() == AutoTokenizer.from_pretrained(config().model).get_vocab()
    asked = {"protocol": "text", "training": False}
    found = evaluate(config(**asked, model=str(kept), output=tmp_path / "as-it-is"), said.append)
    evaluate(config(**asked, output=tmp_path / "before"), silent)
    texts = [
        json.loads((tmp_path / output / "sst2" / "seed-0.json").read_text())["texts"]["sst2"]
        for output in ("out", "as-it-is", "before")
    ]
    assert texts[0] == texts[1] != texts[2]
    assert len(found.results["sst2"]["accuracy"].values) == 1
    assert found.tasks["sst2"].learning_rate is None
    assert "sst2, without fine-tuning: sst2 accuracy" in said[-2]
    assert "is scored as it is, without fine-tuning." in (tmp_path / "as-it-is" / "report.md").read_text()


def test_a_kept_umt5_computes_in_plain_transformers_what_was_scored(config, tmp_path, tokenizer):
    """Its untied head is not scaled in an evaluation, and transformers scales it on every load."""
    source = build_tiny_t5(tmp_path / "umt5", tokenizer, model_type="umt5", tied=False, layers=(1, 1))
    asked = {"model": str(source), "protocol": "text", "seeds": 1, "learning_rates": (1e-3,), "keep_model": True}
    evaluate(config(**asked), silent)
    kept = tmp_path / "out" / "sst2" / "seed-0"
    with torch.no_grad():
        ours, plain = load_checkpoint(str(kept)).model, AutoModelForSeq2SeqLM.from_pretrained(kept).eval()
        ids = torch.arange(3, 12)[None]
        expected = ours(input_ids=ids, decoder_input_ids=ids).logits
        torch.testing.assert_close(plain(input_ids=ids, decoder_input_ids=ids).logits, expected)
        tuned = load_checkpoint(str(source)).model
        assert not torch.equal(tuned.shared.weight, ours.shared.weight)
        assert 0.5 < float(expected.std() / tuned(input_ids=ids, decoder_input_ids=ids).logits.std()) < 2


def test_a_finished_seed_is_tuned_again_where_its_model_is_to_be_kept(config, tmp_path):
    """The scores are known, but the weights were dropped; a second run finds both."""
    asked = {"protocol": "text", "seeds": 1, "learning_rates": (1e-3,)}
    evaluate(config(**asked), silent)
    record = tmp_path / "out" / "sst2" / "seed-0.json"
    before = json.loads(record.read_text())
    evaluate(config(**asked, keep_model=True), silent)
    again = json.loads(record.read_text())
    assert again["predictions"] == before["predictions"]
    weights = tmp_path / "out" / "sst2" / "seed-0" / "model.safetensors"
    times = weights.stat().st_mtime_ns, record.stat().st_mtime_ns
    evaluate(config(**asked, keep_model=True), silent)
    assert times == (weights.stat().st_mtime_ns, record.stat().st_mtime_ns)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"training": False}, "--no-training: on glue/sst2, the new head of --protocol head would answer at random"),
        ({"keep_model": True}, "--keep-model keeps a text-to-text model, and on glue/sst2"),
        ({"training": False, "keep_model": True, "protocol": "text"}, "--no-training fine-tunes nothing"),
    ],
)
def test_options_that_cannot_do_anything_sensible_together_are_refused(config, asked, words):
    """A head of random weights would be scored, or a head kept that nobody can distill."""
    with pytest.raises(ConfigurationError, match=words):
        config(**asked)
    config(**{**asked, "tasks": ("summarize/xsum",), "keep_model": asked == {"keep_model": True}})


def test_two_seeds_differ_and_one_is_the_same_again(config, tmp_path):
    """Both numbers go into the spread; a seed decides its run."""
    asked = {"learning_rates": (1e-3,)}
    evaluate(config(**asked), silent)
    evaluate(config(**asked, output=tmp_path / "again"), silent)
    seeds = [json.loads((tmp_path / "out" / "sst2" / f"seed-{n}.json").read_text()) for n in (0, 1)]
    again = json.loads((tmp_path / "again" / "sst2" / "seed-0.json").read_text())
    assert seeds[0]["predictions"] == again["predictions"]
    assert [seed["seed"] for seed in seeds] == [0, 1]


def test_what_a_launcher_asks_for_does_not_reach_a_fine_tuning(config, tmp_path, monkeypatch):
    """Scores changed with ACCELERATE_MIXED_PRECISION=bf16, while settings.json said `"bf16": false`."""
    asked = {"learning_rates": (3e-3,), "seeds": 1, "epochs": 2}
    evaluate(config(**asked), silent)
    for name, value in {**WANTED, "LOCAL_RANK": "0", "RANK": "0", "WORLD_SIZE": "1"}.items():
        monkeypatch.setenv(name, value)
    said = []
    evaluate(config(**asked, output=tmp_path / "launched"), said.append)
    ours, theirs = (
        json.loads((tmp_path / name / "sst2" / "seed-0.json").read_text())["predictions"]
        for name in ("out", "launched")
    )
    assert ours == theirs
    assert "ACCELERATE_MIXED_PRECISION=bf16" in said[0]


def test_a_model_that_is_no_encoder_decoder_is_refused(config, tmp_path):
    """Nothing is written."""
    (tmp_path / "bert").mkdir()
    (tmp_path / "bert" / "config.json").write_text('{"model_type": "bert", "architectures": ["BertModel"]}')
    with pytest.raises(CheckpointError, match="not a T5-family model"):
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
    lines = said.out.replace("\n  ", " ").splitlines()  # a long one goes on with an indent
    assert lines[0].startswith("glue/sst2: train ")
    assert lines[1] == "sst2: 12 of 12 examples of the development set sst2 are also in train"
    assert lines[2].startswith("sst2, seed 0: sst2 accuracy")
    assert any(line.startswith("sst2 ") and "accuracy" in line for line in lines[3:])
    assert "train_runtime" not in said.out
