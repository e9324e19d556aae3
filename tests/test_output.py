"""What people see of the commands: in a file, in a terminal, quiet, verbose, and as JSON."""

import contextlib
import io
import json
import random
import re
from types import SimpleNamespace

import pytest
import yaml

from miniend import cli
from miniend.runtime import printing, progress
from miniend.runtime.printing import WIDTH, fitted
from support.terminal import MOVES, terminal
from support.tiny_t5 import build_tiny_t5, tiny_texts, write_texts
from support.tiny_tokenizer import build_tiny_tokenizer

DUMP = {
    "examples": 12,
    "validation_examples": 4,
    "calibration_examples": 10,
    "input_length": 32,
    "noise_density": 0.3,
    "shard_examples": 8,
    "batch_size": 4,
    "codec": "zstd",
    "threads": 1,
}
TRAIN = {"size": "1L32H", "steps": 4, "batch_size": 4, "eval_every": 2, "save_every": 2}
EVALUATE = {"task": "glue/sst2", "seeds": 1, "epochs": 1, "learning_rate": 1e-3, "batch_size": 8}
BAR = re.compile(r"[a-z0-9][^|]*: +\d+%\|[^|]*\| *\d.*\]")
"""A whole bar, as tqdm leaves it."""


def run(*arguments, expected=0):
    """Run a command as a job without a terminal does: (standard output, standard error), in lines."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = cli.run([str(argument) for argument in arguments])
    assert status == expected, err.getvalue()
    return out.getvalue().splitlines(), err.getvalue().splitlines()


def options(settings, **more):
    """The same as options of a command, on the CPU."""
    named = {**settings, **more, "device": "cpu"}
    return [part for name, value in named.items() for part in (f"--{name.replace('_', '-')}", value)]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A teacher, a corpus, a task and a comparison, and what the commands print that work on them, by command."""
    root, generator = tmp_path_factory.mktemp("output"), random.Random(0)
    texts = tiny_texts(150)
    build_tiny_t5(root / "teacher", build_tiny_tokenizer(texts, 120, sentinels=10), layers=(1, 1), sharpen=0.8)
    write_texts(root / "corpus.jsonl", texts)
    (root / "SST-2").mkdir()
    for name, count in (("train", 24), ("dev", 10)):
        rows = [f"{' '.join(generator.choices(texts[0].split(), k=4))}\t{n % 2}" for n in range(count)]
        (root / "SST-2" / f"{name}.tsv").write_text("\n".join(["sentence\tlabel", *rows, ""]))
    comparison = {
        "teacher": str(root / "teacher"),
        "device": "cpu",
        "dump": {"corpus": str(root / "corpus.jsonl"), **DUMP},
        "train": {"steps": 2, "batch_size": 4},
        "sizes": ["1L32H"],
        "rows": {"scratch": None},
        "seeds": 1,
        "evaluate": {"data": str(root), "seeds": 1, "epochs": 1, "batch_size": 8, "learning_rates": 1e-3},
        "tasks": {"glue/sst2": None},
    }
    (root / "comparison.yaml").write_text(yaml.safe_dump(comparison))
    begin = progress._begin
    source = ["--teacher", root / "teacher", "--corpus", root / "corpus.jsonl", *options(DUMP)]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(progress, "FIRST_AFTER", 0.0)  # every update is a line
        patched.setattr(progress, "EVERY", 0.0)
        patched.setattr(progress, "BEAT", 1e6)
        patched.setattr(progress, "_begin", lambda work: begin(work) or work.beat())  # as if each took a while
        student = options(TRAIN, cache=root / "cache", output=root / "student")
        scores = options(EVALUATE, model=root / "student", data=root / "SST-2", output=root / "scores")
        printed = {
            "dump-teacher": run("dump-teacher", *source, "--cache", root / "cache"),
            "estimate": run("estimate", *source, "--sample-examples", 2),
            "inspect": run("inspect", root / "cache"),
            "verify": run("verify", root / "cache"),
            "train-student": run("train-student", *student),
            "evaluate": run("evaluate", *scores),
            "compare": run("compare", root / "comparison.yaml", "--output", root / "compared", "--plan"),
        }
    return SimpleNamespace(root=root, source=source, printed=printed)


COMMANDS = ("dump-teacher", "estimate", "inspect", "verify", "train-student", "evaluate", "compare")


@pytest.mark.parametrize("command", COMMANDS)
def test_no_line_in_a_file_is_longer_than_a_hundred_columns(home, command):
    """Only a word that is longer than that, such as a path, has a longer line, of its own."""
    lines = [line for stream in home.printed[command] for line in stream]
    assert lines
    assert [line for line in lines if len(line) > WIDTH and len(line.split()) > 1] == []
    assert all(line.isprintable() for line in lines)


@pytest.mark.parametrize(
    ("command", "phases"),
    [
        ("dump-teacher", ["loading teacher", "digest of the teacher's weights", "segments (validation)", "segments (train)",
                          "calibration", "calibration, codes", "estimating the bytes to write", "dump"]),
        ("estimate", ["loading teacher", "segments (train)", "calibration", "trial", "trial, bare teacher"]),
        ("inspect", ["reading the documents of the cache"]),
        ("verify", ["verify"]),
        ("train-student", ["setting up", "train", "validation"]),
        ("evaluate", ["loading student", "sst2, rate 0.001, seed 0", "sst2, rate 0.001, seed 0, answers"]),
        ("compare", ["timing", "dump", "dry run"]),
    ],
)  # fmt: skip
def test_every_long_phase_shows_that_it_lives(home, command, phases):
    """`estimate` printed nothing for minutes, and every command was silent where standard error is not a terminal."""
    out, err = home.printed[command]
    told = {line.partition(": ")[0] for line in err if not line.startswith(" ")}
    assert set(phases) <= told
    assert not told & {line.partition(": ")[0] for line in out}


def test_a_training_says_its_losses_its_evaluations_and_its_checkpoints(home):
    out, err = home.printed["train-student"]
    text = " ".join(line.strip() for line in out)
    for step in (2, 4):
        assert re.search(rf"step {step}: validation \d\.\d{{3}} nats \(labels\), loss \d+\.\d{{3}} \(logits ", text)
        assert f"step {step}: saved checkpoint" in out
    assert any(re.match(r"train: 3 of 4 steps, .* left, loss \d+\.\d{3}, validation \d\.\d{3}$", line) for line in err)
    assert any(re.match(r"train: 4 steps in \d", line) for line in err)


def shown(home, tmp_path, monkeypatch, *more):
    """The screen after a training of two students, and the lines that were to be printed on it."""
    wanted = []
    print_it = printing._print

    def kept(line, err, wrapped):
        wanted.extend(each[start : start + 80] for each in fitted(line, 80) for start in range(0, len(each), 80))
        print_it(line, err, wrapped)

    with terminal(monkeypatch, 80) as screen:
        monkeypatch.setattr(printing, "_print", kept)
        monkeypatch.setattr(progress, "BEAT", 0.01)
        sizes = ["--size", "2L32H", "--objective", "scratch", "--objective", "miniend-e"]
        output = ["--cache", home.root / "cache", "--output", tmp_path / "students"]
        for arguments in (
            ["train-student", *output, *options(TRAIN), *sizes, *more],
            ["verify", home.root / "cache", *more],
        ):
            assert cli.run([str(argument) for argument in arguments]) == 0
    return screen, wanted


def test_a_terminal_shows_bars_and_whole_lines_beside_them(home, tmp_path, monkeypatch):
    """With NO_COLOR nothing but moves of the cursor is written beside text."""
    monkeypatch.setenv("NO_COLOR", "1")
    screen, wanted = shown(home, tmp_path, monkeypatch)
    rows = [row for row in screen.screen() if row]
    bars = [row for row in rows if BAR.fullmatch(row)]
    assert [bar.partition(":")[0] for bar in bars] == ["train", "verify"]
    assert [row for row in rows if row not in bars] == [line.rstrip() for line in wanted]
    assert sum("validation" in line for line in wanted) >= 8
    assert re.search(r"losses \d\.\d\d to \d\.\d\d\]$", bars[0])
    assert "\x1b" not in MOVES.sub("", screen.text)


def test_a_terminal_shows_the_verdict_in_bold(home, tmp_path, monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    screen, wanted = shown(home, tmp_path, monkeypatch)
    assert "\x1b[1m2L32H-scratch: validation " in screen.text
    assert f"\x1b[1m{home.root / 'cache'} is sound" in screen.text
    assert [row for row in screen.screen() if row and not BAR.fullmatch(row)] == [line.rstrip() for line in wanted]


def test_quiet_prints_only_results_and_warnings(home, tmp_path):
    """A warning is never lost; a second dump has nothing else to say."""
    root = home.root
    out, err = run("train-student", "--cache", root / "cache", "--output", tmp_path / "one", *options(TRAIN), "--quiet")
    assert [line.split()[0] for line in out if not line.startswith(" ")] == ["trained", "validation", "wrote"]
    assert err == []
    out, err = run("dump-teacher", *home.source, "--cache", root / "cache", "--quiet")
    assert err == []
    first = [line for line in out if not line.startswith(" ")]
    assert all(line.startswith("warning: ") for line in first[:-3])
    assert len(first) >= 4  # a random teacher is not better than the frequencies
    assert [line.split()[0] for line in first[-2:]] == ["cache", "fidelity,"]
    assert first[-3].startswith(f"{root / 'cache'} is complete")


def test_verbose_adds_versions_plan_and_times_and_leaves_standard_output_alone(home, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    usual, _ = run("dump-teacher", *home.source, "--cache", home.root / "cache")
    out, err = run("dump-teacher", *home.source, "--cache", home.root / "cache", "--verbose")
    assert out == usual
    text = "\n".join(err)
    for word in ("miniend 0.", "libraries: torch 2.", "\nplan ", "times: start ", "OMP_NUM_THREADS=1"):
        assert word in text
    assert "hf_secret" not in text
    assert [line for line in err if len(line) > WIDTH and len(line.split()) > 1] == []


def test_json_is_alone_on_standard_output(home):
    """A program reads it, at every level."""
    for arguments in (["inspect", home.root / "cache"], ["verify", home.root / "cache"]):
        for level in ([], ["--quiet"], ["--verbose"]):
            out, _ = run(*arguments, "--json", *level)
            assert isinstance(json.loads("\n".join(out)), dict)


def test_quiet_and_verbose_contradict_each_other(home):
    out, err = run("verify", home.root / "cache", "--quiet", "--verbose", expected=2)
    assert (out, err) == ([], ["miniend: --quiet and --verbose contradict each other; give one of them"])


def test_verbose_says_where_an_error_came_from(tmp_path):
    """And ends with the same line."""
    (_, usual), (_, err) = (run("verify", tmp_path, *more, expected=2) for more in ([], ["--verbose"]))
    assert len(usual) == 1
    assert err[-1] == usual[0]
    assert any("verify.py" in line for line in err)
