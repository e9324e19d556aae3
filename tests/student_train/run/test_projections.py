"""Runs whose terms learn maps: saved, resumed, exported beside the student, and the same alone and in a pass with others."""

import json
import signal

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForSeq2SeqLM

import miniend
from miniend.errors import RunMismatchError
from miniend.student_train.config import TrainConfig, each_student
from miniend.student_train.terms import matched
from miniend.student_train.train import train_student, train_students
from support.runs import KILLED_AFTER_SEVEN_STEPS, RUN, metrics, same_weights
from support.setups import set_up_alone

SETTINGS = {**RUN, "size": "1L64H", "mapping": "uniform+last"}
OBJECTIVES = ["hidden", "direct", "lwd"]


def quiet(_line):
    """Says nothing."""


def config(home, output, **settings):
    return TrainConfig(cache=home / "cache", output=output, **{**SETTINGS, **settings})


@pytest.fixture(scope="module")
def together(layers_home, tmp_path_factory):
    """Three students in one pass, by objective."""
    folder = tmp_path_factory.mktemp("together")
    train_students(each_student(config(layers_home, folder), [SETTINGS["size"]], OBJECTIVES), quiet)
    return {name: folder / f"{SETTINGS['size']}-{name}" for name in OBJECTIVES}


def checkpoint(output):
    (folder,) = (output / "checkpoints").iterdir()
    return load_file(folder / "state.safetensors")


def the_same(one, other):
    assert same_weights(one, other)
    assert metrics(one) == metrics(other)
    ours, theirs = checkpoint(one), checkpoint(other)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    for file in ("README.md", "projections.safetensors"):
        assert (one / file).read_bytes() == (other / file).read_bytes()


@pytest.mark.parametrize("name", ["hidden", *(pytest.param(name, marks=pytest.mark.slow) for name in OBJECTIVES[1:])])
def test_a_student_is_the_same_alone_and_in_a_pass_with_others(layers_home, together, tmp_path, name):
    """The maps of one must not draw from the random numbers of another, and statistics are measured once for all."""
    train_student(config(layers_home, tmp_path, objective=name), quiet)
    the_same(tmp_path, together[name])


@pytest.mark.slow
def test_a_killed_run_ends_as_the_unbroken_one(layers_home, together, tmp_path, commands):
    """A map that began anew would be learned again, and the loss would hardly show it."""
    settings = {**SETTINGS, "cache": layers_home / "cache", "output": tmp_path, "objective": "hidden"}
    options = [f"--{name.replace('_', '-')}={value}" for name, value in settings.items()]
    killed = commands.python(KILLED_AFTER_SEVEN_STEPS, "train-student", *options)
    assert killed.wait() == -signal.SIGKILL, killed.written()
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-00000004"]
    train_student(config(layers_home, tmp_path, objective="hidden"), quiet)
    the_same(tmp_path, together["hidden"])


def test_a_resumed_run_takes_the_statistics_that_it_began_with(layers_home, tmp_path, monkeypatch):
    """They belong to the run: a machine that rounds otherwise must not change the loss in the middle."""
    settings = {
        "objective": "hidden",
        "mapping": "last",
        "steps": 2,
        "save_every": 2,
        "eval_every": 2,
        "schedule": "constant",
    }
    train_student(config(layers_home, tmp_path, **settings), quiet)
    before, start = checkpoint(tmp_path), matched.Matched.start

    def otherwise(term, statistics):
        start(term, statistics)
        term.metric.mul_(3)

    monkeypatch.setattr(matched.Matched, "start", otherwise)
    train_student(config(layers_home, tmp_path, **{**settings, "steps": 4}), quiet)
    after = checkpoint(tmp_path)
    assert torch.equal(after["measured/encoder_hidden.metric"], before["measured/encoder_hidden.metric"])


@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_maps_are_beside_the_model_and_not_in_it(together, name):
    """Weights that a model does not have would be warned about by everybody who opens it."""
    _, info = AutoModelForSeq2SeqLM.from_pretrained(together[name], output_loading_info=True)
    assert not any(info.values())
    beside, saved = load_file(together[name] / "projections.safetensors"), checkpoint(together[name])
    trained = {
        one.removeprefix("trained/terms."): tensor for one, tensor in saved.items() if one.startswith("trained/terms.")
    }
    assert beside.keys() == trained.keys()
    assert all(torch.equal(beside[one], trained[one]) for one in beside)
    wanted = {"query", "key", "value"} if name == "direct" else {"1-4", "1-4-again"}
    assert {one.split(".")[2] for one in beside} == wanted
    assert (together[name] / "best" / "projections.safetensors").exists()


def test_a_student_without_maps_has_no_such_file(layers_home, tmp_path):
    train_student(config(layers_home, tmp_path, objective="scratch", steps=1, warmup_steps=0), quiet)
    assert not (tmp_path / "projections.safetensors").exists()


def test_metrics_and_the_card_have_every_pair_of_layers(together):
    """The sum hides which layer does not learn."""
    lines = metrics(together["hidden"])
    parts = [f"{stack}_hidden.{pair}" for stack in ("encoder", "decoder") for pair in ("1-4", "1-4-again")]
    for line in lines:
        assert {*parts, "encoder_hidden", "decoder_hidden", "gradient_norm.terms"} <= set(line)
        assert line["encoder_hidden"] == pytest.approx((line[parts[0]] + line[parts[1]]) / 2, rel=1e-6)
        assert line["loss"] == pytest.approx(line["encoder_hidden"] + line["decoder_hidden"], rel=1e-6)
    last = lines[-1]
    beside = [part.replace("_hidden.", "_hidden_beyond_top_8.") for part in parts]
    assert {f"validation.{part}" for part in (*parts, *beside)} <= set(last)
    first = next(line for line in lines if "validation.loss" in line)
    assert last["validation.loss"] < first["validation.loss"]
    card = (together["hidden"] / "README.md").read_text()
    assert "| part | student | teacher | validation | beyond top 8 | relative error of the cache |" in card
    assert (
        f"| `encoder_hidden.1-4` | encoder.hidden@0 | encoder.hidden@3 | {last['validation.encoder_hidden.1-4']:.4f} |"
        in card
    )
    assert "in projections.safetensors" in card
    assert "| validation `encoder_hidden` |" in card
    assert "validation `encoder_hidden.1-4`" not in card


def test_another_layer_or_mapping_is_another_run(layers_home, together):
    """A resumed run would go on with another loss, under one name."""
    for changed in ({"mapping": "uniform"}, {"teacher_layer": ("decoder.self=2",)}, {"projection": "shared"}):
        with pytest.raises(RunMismatchError, match=next(iter(changed)).replace("_", ".")):
            train_student(config(layers_home, together["hidden"], objective="hidden", **changed), quiet)
    record = json.loads((together["hidden"] / "run.json").read_text())
    assert (record["mapping"], record["hidden_norm"], record["stacks"]) == ("uniform+last", "rms", "both")


def test_a_weight_decays_and_a_bias_does_not(layers_home, tmp_path):
    """A bias holds the mean of the teacher's states, which has no reason to be small."""
    cache = miniend.open_cache(layers_home / "cache")
    setup = set_up_alone(config(layers_home, tmp_path, objective="hidden", optimizer="adamw", weight_decay=0.1), cache)
    for group in setup.optimizer.param_groups:
        names = {name for name in group["param_names"] if name.startswith("terms.")}
        assert {name.rpartition(".")[2] for name in names} == {"weight" if group["weight_decay"] else "bias"}


def test_a_student_that_the_cache_limits_hears_it_once(layers_home, tmp_path, monkeypatch):
    """The dropped components can never be learned, and more steps would only cost."""
    monkeypatch.setattr(matched, "FAITHFUL", 1e9)
    said = []
    train_student(config(layers_home, tmp_path, objective="hidden", mapping="last"), said.append)
    warnings = [line for line in said if "warning: " in line and "limits it from here on" in line]
    assert len(warnings) == 1
    assert "decoder_hidden.1-4, encoder_hidden.1-4: the error of the cache" in warnings[0]
    parts = [line for line in said if line.startswith("  encoder_hidden: 1-4 ")]
    assert len(parts) == 2, "one of each evaluation"
    assert "beyond the top 8)" in parts[0]
