"""The scripts in examples/ run as a reader would run them, each in a process of its own, and leave what they promise."""

import csv
import importlib.util

import pytest
from transformers import AutoModelForSeq2SeqLM

from miniend import open_cache, train_student
from support.pages import ROOT
from support.tiny_cache import build_tiny_cache
from support.tiny_t5 import ragged_texts, tiny_texts

RUN = "import runpy, sys; sys.argv[:] = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"


def run(commands, script, *arguments):
    """Run a script, and return what it printed."""
    process = commands.python(RUN, str(ROOT / "examples" / script), *map(str, arguments))
    assert process.wait() == 0, process.written()
    return process.written()[0]


def test_the_loss_of_ones_own_is_trained_and_is_a_plugin_of_the_command_line(home, commands, tmp_path):
    """Both ways lead to the same student."""
    printed = run(commands, "own_loss.py", home / "cache", tmp_path / "a", 2)
    assert "resemblance 0." in printed.splitlines()[-1]
    command = commands.start(
        "train-student", "--plugin", str(ROOT / "examples" / "own_loss.py"), "--cache", str(home / "cache"),
        "--output", str(tmp_path / "a"), "--objective", "resemblance", "--size=2L64H", "--steps=2", "--batch-size=8",
    )  # fmt: skip
    assert command.wait() == 0, command.written()
    assert "is finished: 2 steps" in command.written()[0]


def test_the_loop_of_ones_own_learns_and_writes_a_student(home, commands, tmp_path):
    """In plain PyTorch, without `train_student`."""
    printed = run(commands, "own_loop.py", home / "cache", tmp_path / "student", 2)
    first, last = (float(line.split()[3]) for line in printed.splitlines() if line.startswith("epoch"))
    assert last < first
    AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "student")


def test_the_sweep_writes_a_table_of_all_students(home, commands, tmp_path):
    """Two sizes and three objectives; the best one is the first."""
    printed = run(commands, "sweep.py", home / "cache", tmp_path / "all", 1)
    rows = list(csv.reader((tmp_path / "all" / "sweep.csv").read_text().splitlines()))
    assert len(rows) == 7
    assert printed.splitlines()[-6].split()[0] == rows[1][0]
    losses = [float(row[2]) for row in rows[1:] if row[2]]
    assert losses == sorted(losses)
    assert len(losses) == 4


@pytest.mark.slow
def test_a_pipeline_of_flux_runs_with_the_student_in_the_place_of_its_t5(commands, tmp_path):
    """Where diffusers is installed, which the package does not need."""
    if importlib.util.find_spec("diffusers") is None:
        pytest.skip("diffusers is not installed")
    printed = run(commands, "flux_text_encoder.py", tmp_path)
    assert "variance explained" in printed
    assert "an image of (16, 16, 3)" in printed.splitlines()[-1]


@pytest.mark.slow
def test_a_student_becomes_a_folder_of_sentence_transformers(commands, tmp_path):
    """Where that library is installed, which the package does not need."""
    if importlib.util.find_spec("sentence_transformers") is None:
        pytest.skip("sentence-transformers is not installed")
    folder, student = tmp_path / "home", tmp_path / "student"
    folder.mkdir()
    corpus = str(ragged_texts(folder / "ragged.jsonl"))
    settings = {"encoder_only": True, "noise_density": 0.15, "logits": None, "top_k": 64}
    cache = build_tiny_cache(folder, corpus=corpus, **settings)
    train_student(cache=cache, output=student, objective="encoder", size="1L64H", steps=2, batch_size=4, log=str)
    printed = run(commands, "sentence_encoder.py", student, tmp_path / "sentences")
    assert "texts as 32 numbers" in printed
    assert float(printed.split("at most ")[1].split()[0]) < 1e-5


SMALL_SOURCE = """
import runpy, sys, sysconfig
folder = sys.argv.pop(1)
sysconfig.get_paths = lambda: {"stdlib": folder, "purelib": f"{folder}/none", "platlib": f"{folder}/none"}
sys.argv[:] = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_pre_training_makes_a_model_from_a_cache_without_signals(commands, tmp_path):
    """The whole script on a corpus of a few files."""
    source = tmp_path / "source"
    source.mkdir()
    for number, text in enumerate(tiny_texts(200, words=60)):
        (source / f"{number}.py").write_text(text)
    process = commands.python(
        SMALL_SOURCE, str(source), str(ROOT / "examples" / "pretrain.py"), str(tmp_path), "1L32H", "2", "20"
    )
    assert process.wait() == 0, process.written()
    assert "trained 2 steps" in process.written()[0]
    model = AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "teacher")
    assert model.config.vocab_size == open_cache(tmp_path / "cache").plan.tokenizer.size
