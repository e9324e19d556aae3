"""A wrong path for every option that takes one: one line names what is there instead, exit status 2, and nothing is written.

The cache and the students are real ones; comparison and evaluation are laid out as their commands lay them out.
"""

import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from miniend import cli
from miniend.evaluation.records import MODEL
from miniend.recipes.compare.file.paths import Paths
from miniend.runtime.there import look, not_a_cache, not_a_model
from support.tiny_cache import build_tiny_cache

SMALL = {"layers": (1, 1), "heads": 2, "d_kv": 16, "examples": 8, "validation_examples": 2, "calibration_examples": 4}
TRAIN = "--size 1L32H --objective scratch --steps 2 --batch-size 4 --save-every 1 --device cpu"
DUMP = (
    "--examples 8 --validation-examples 2 --calibration-examples 4 --input-length 32 --noise-density 0.3 --device cpu"
)
MODELS = {
    "dump-teacher --teacher X --corpus corpus.jsonl --cache new " + DUMP,
    "estimate --teacher X --corpus corpus.jsonl " + DUMP,
    "train-student --cache cache --output new --init X --objective scratch --steps 2 --batch-size 4 --device cpu",
    "verify partial --repair --teacher X --corpus corpus.jsonl --device cpu",
    "evaluate --model X --task summarize/pairs --data pairs.jsonl --output new --device cpu",
}
CACHES = {"train-student --cache X --output new " + TRAIN, "inspect X", "inspect X --json", "verify X"}
CORPORA = {
    "dump-teacher --teacher teacher --corpus X --cache new " + DUMP,
    "dump-teacher --teacher teacher --corpus hf:X --cache new " + DUMP,
    "estimate --teacher teacher --corpus X " + DUMP,
    "evaluate --model teacher --task glue/sst2 --data X --output new --device cpu",
}
OUTPUTS = {
    "dump-teacher --teacher teacher --corpus corpus.jsonl --cache X " + DUMP,
    "train-student --cache cache --output X " + TRAIN,
}
OTHERS = {
    "train-student --cache cache --output new --size X --objective scratch --steps 2 --batch-size 4 --device cpu",
    "compare X --output new --plan",
    "train-student --cache cache --output new --plugin X " + TRAIN,
}
WORDS = {
    "cach": "did you mean cache in the working directory?",
    "nothing/x": "the folder nothing does not exist",
    "empty": "an empty folder",
    "file.txt": "a file",
    "file.txt/x": "file.txt is a file",
    "dangling": "a link to gone, which does not exist",
    "notes": "a folder that holds a.md",
    "cache": "a cache",
    "cache/plan": "a part of the cache cache",
    "cache/plan/plan.json": "a file of the cache cache",
    "student": "a student",
    "training": "a training at step 2 of 2, without a student yet",
    "students": "a folder of 2 students",
    "teacher": "a model",
    "teacher/config.json": "a file of the model teacher",
    "compared": "the output of `miniend compare`",
    "evaluated": "the output of `miniend evaluate`",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder in which every kind of thing lies that a command could be given."""
    root = tmp_path_factory.mktemp("made")
    cache = build_tiny_cache(root, signals="none", **SMALL)
    train = ["train-student", "--cache", str(cache), *TRAIN.split(), "--output", str(root / "student")]
    assert cli.run(train) == 0
    finished = shutil.ignore_patterns("model.safetensors", "config.json", "best")
    shutil.copytree(root / "student", root / "training", ignore=finished)
    for name in ("one", "two"):
        shutil.copytree(root / "student", root / "students" / name)
    shutil.copytree(cache, root / "partial", ignore=shutil.ignore_patterns("train-*"))
    paths = Paths(root / "compared")
    for source, target in ((cache, paths.cache("main")), (root / "student", paths.untrained("1L32H"))):
        shutil.copytree(source, target)
    paths.settings.write_text("{}")
    for name in ("empty", "notes", "evaluated"):
        (root / name).mkdir()
    (root / "notes" / "a.md").write_text("x")
    (root / "evaluated" / MODEL).write_text("{}")
    (root / "file.txt").write_text("x")
    (root / "dangling").symlink_to("gone")
    (root / "pairs.jsonl").write_text('{"text": "ba de", "summary": "go"}\n' * 20)
    return root


@pytest.fixture
def refused(made, monkeypatch, capfd):
    """The line with which a command ends; nothing may have been written."""
    monkeypatch.chdir(made)

    def run(command, path):
        before = sorted(made.rglob("*"))
        capfd.readouterr()
        status = cli.run([part.replace("X", path) for part in command.split()])
        said = capfd.readouterr()
        assert status == 2, (command, said)
        (line,) = said.err.splitlines()
        assert "Traceback" not in said.err + said.out
        assert [one for one in sorted(made.rglob("*")) if one not in before] == []
        return line

    return run


def test_every_kind_of_path_is_known(made, monkeypatch):
    """The words of all messages below come from here."""
    monkeypatch.chdir(made)
    for path, words in WORDS.items():
        assert words in look(Path(path)).words, path
    assert "name cache" in not_a_cache(Path("cache/plan"))
    assert "name compared/caches/main" in not_a_cache(Path("compared"))
    assert "`miniend dump-teacher --teacher teacher --cache NAME`" in not_a_cache(Path("teacher"))
    assert "name students/one or students/two" in not_a_model(Path("students"))
    assert "name compared/students/1L32H-untrained" in not_a_model(Path("compared"))
    assert "run its train-student command again" in not_a_model(Path("training"))
    assert "`miniend train-student --cache cache --output NAME`" in not_a_model(Path("cache"))


def _cases(commands, without):
    return [(command, path) for command in sorted(commands) for path in WORDS if path not in without]


@pytest.mark.parametrize(
    ("command", "path"),
    [
        *_cases(MODELS, {"student", "teacher"}),
        *_cases(CACHES, {"cache"}),
        *[
            one
            for one in _cases(CORPORA, {"cach", "notes", "empty"})
            if not one[1].startswith(("file", "nothing", "dang"))
        ],
        *_cases(OUTPUTS, {"cach", "nothing/x", "empty", "cache", "student", "training", "notes"}),
    ],
)
def test_a_wrong_path_is_named_for_what_is_there(refused, command, path):
    """`Repo id must be in the form ...` and `it has no plan` sent people to look for faults elsewhere."""
    if path.endswith(".json") and command in CORPORA:
        assert path in refused(command, path)
        return
    line = refused(command, path)
    assert path in line
    assert WORDS[path] in line or "expected a directory" in line or "is inside the cache cache" in line


@pytest.mark.parametrize(
    ("command", "path"), [(command, path) for command in sorted(OTHERS) for path in WORDS if path != "students"]
)
def test_any_other_wrong_path_is_one_line_with_its_name(refused, command, path):
    """Sizes, files of comparisons and plugins are paths too."""
    if "--size" in command and path in ("student", "teacher", "teacher/config.json", "notes"):
        return
    assert Path(path).name.split(".")[0] in refused(command, path)


def test_no_output_lies_inside_a_cache(refused):
    """verify called the cache damaged for the student that somebody had put there."""
    evaluate = "evaluate --model teacher --task summarize/pairs --data pairs.jsonl --output X --device cpu"
    for command in (*sorted(OUTPUTS), evaluate):
        for path in ("cache/student", "cache/shards/a/b"):
            assert f"{path} is inside the cache cache; name a directory outside of it" in refused(command, path)


def test_no_output_is_a_file(refused):
    for command in ("demo --output X", "evaluate --model teacher --task summarize/pairs --data pairs.jsonl --output X"):
        for path in ("file.txt", "file.txt/x", "dangling"):
            assert path in partial(refused, command)(path)


LIGHT = "import sys; from miniend.cli import run; sys.exit(run(sys.argv[1:]) + 100 * ('torch' in sys.modules))"


@pytest.mark.parametrize("command", ["train-student --cache {} --output new", "inspect {}", "verify {}"])
def test_a_cache_that_is_not_there_is_said_before_anything_slow_is_imported(tmp_path, command):
    """A typing error is answered at once, and not after the seconds in which torch is imported."""
    arguments = command.format(tmp_path / "nowhere").split()
    call = [sys.executable, "-c", LIGHT, *arguments]
    done = subprocess.run(call, check=False, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert "nowhere is not a MiniEnD cache: it is missing" in done.stderr
