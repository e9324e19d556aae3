"""`miniend judge-encoder` on students with a map, without one, saved again, and on models that do not fit."""

import json
import shutil

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import save_file

import miniend
from miniend import cli
from miniend.errors import CacheMismatchError, CheckpointError, ConfigurationError
from support.tiny_cache import PAIRS, build_tiny_cache
from support.tiny_t5 import ragged_texts

SHAPE = {"d_kv": 8, "num_heads": 4, "d_ff": 64, "num_layers": 2}


def quiet(_line):
    """Says nothing."""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A cache of an encoder at a tiny error, and a student of another width."""
    folder = tmp_path_factory.mktemp("judged")
    settings = {"encoder_only": True, "noise_density": 0.15, "logits": None, "top_k": 64, "hidden_error": 1e-7}
    build_tiny_cache(folder, corpus=str(ragged_texts(folder / "ragged.jsonl")), **settings)
    miniend.train_student(
        cache=folder / "cache",
        output=folder / "student",
        objective="encoder",
        size="1L64H",
        steps=20,
        batch_size=8,
        log=quiet,
    )
    return folder


def judged(home, model, **settings):
    return miniend.judge_encoder(model=home / model, cache=home / "cache", **settings)


def test_a_student_is_judged_with_its_own_map_and_so_is_its_saved_form(home):
    """Against the formula on transformers' own model of the teacher, over the validation texts."""
    found = judged(home, "student")
    model = miniend.ProjectedT5Encoder.from_student(home / "student")
    teacher = transformers.T5EncoderModel.from_pretrained(home / "teacher").eval()
    texts = miniend.open_cache(home / "cache").validation
    error, rows = 0.0, []
    for example in texts:
        ids = torch.from_numpy(np.asarray(example.input_ids, dtype=np.int64))[None]
        with torch.no_grad():
            ours, theirs = (one(input_ids=ids).last_hidden_state[0].double() for one in (model, teacher))
        error += float((ours - theirs).square().sum())
        rows.append(theirs)
    every = torch.cat(rows)
    assert found.explained == pytest.approx(1 - error / float((every - every.mean(0)).square().sum()), abs=1e-4)
    assert (found.texts, found.tokens, found.map) == (len(texts), len(every), "its own")
    assert found.parameters == sum(one.numel() for one in model.parameters())
    assert 0 < found.lost_by_the_cache < 3e-7
    model.save_pretrained(home / "whole")
    again = judged(home, "whole", batch_size=3)
    assert (again.explained, again.cosine) == pytest.approx((found.explained, found.cosine), abs=1e-5)
    assert again.parameters == found.parameters


def test_the_teacher_is_its_own_best_student_from_the_full_checkpoint_too(home):
    found = judged(home, "teacher")
    assert found.map is None
    assert found.explained > 1 - 1e-6
    assert found.cosine > 1 - 1e-6
    assert found.same_nearest == 1.0
    assert f"{found.texts:,} of {found.tokens:,} tokens" in str(found)


def test_an_encoder_of_another_width_gets_a_map_by_least_squares(home):
    """One with random weights, of the same tokenizer."""
    rows = miniend.open_cache(home / "cache").plan.teacher.facts.vocab_rows
    torch.manual_seed(0)
    transformers.T5EncoderModel(transformers.T5Config(vocab_size=rows, d_model=48, **SHAPE)).save_pretrained(
        home / "random"
    )
    found = judged(home, "random")
    assert found.map == f"fitted here on {len(miniend.open_cache(home / 'cache').training)} training texts"
    assert 0 < found.explained < 1


def test_the_command_prints_lines_and_json(home, capsys):
    options = ["judge-encoder", f"--model={home / 'student'}", f"--cache={home / 'cache'}", "--examples=5"]
    assert cli.run(options) == 0
    shown = capsys.readouterr().out
    assert "variance explained" in shown
    assert "5 of" in shown
    assert cli.run([*options, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["texts"], found["map"]) == (5, "its own")


def test_what_does_not_fit_is_one_line(home, tmp_path):
    with pytest.raises(ConfigurationError, match=r"examples must be at least 2"):
        judged(home, "student", examples=1)
    (tmp_path / "pairs").mkdir()
    other = build_tiny_cache(tmp_path / "pairs", **PAIRS, signals="encoder.self")
    with pytest.raises(CacheMismatchError, match=r"needs encoder.final, but .* holds encoder.self@1"):
        miniend.judge_encoder(model=home / "student", cache=other)
    transformers.T5EncoderModel(transformers.T5Config(vocab_size=7, d_model=32, **SHAPE)).save_pretrained(
        tmp_path / "small"
    )
    with pytest.raises(CheckpointError, match="7 embeddings"):
        miniend.judge_encoder(model=tmp_path / "small", cache=home / "cache")
    with pytest.raises(CheckpointError):
        miniend.judge_encoder(model=tmp_path / "nothing", cache=home / "cache")
    shutil.copytree(home / "student", tmp_path / "mixed")
    wrong = {"final.maps.final.weight": torch.zeros(20, 64), "final.maps.final.bias": torch.zeros(20)}
    save_file(wrong, tmp_path / "mixed" / "projections.safetensors")
    with pytest.raises(CheckpointError, match=r"leads to 20 numbers, but the teacher of .* has 32"):
        miniend.judge_encoder(model=tmp_path / "mixed", cache=home / "cache")
