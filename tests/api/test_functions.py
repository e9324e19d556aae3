"""The functions of `miniend` have the options of their commands as keywords, and say in one line what is wrong with a call."""

import importlib.util
import inspect
from dataclasses import MISSING, fields
from pathlib import Path

import numpy as np
import pytest

import miniend
from miniend import api
from miniend.api.function import RECORDED, of_options
from miniend.api.values import fitted
from miniend.cli import COMMANDS
from miniend.errors import ConfigurationError, MiniEndError
from miniend.runtime.options import option_of
from miniend.student_train.config import TrainConfig
from support.pages import ROOT

OF_COMMANDS = {
    command.name.replace("-", "_"): command for command in COMMANDS if command.name not in ("demo", "completion")
}
BESIDE = {"log", "tokenizer"}
"""Keywords that are not options."""
NOT_IN_PYTHON = {"as_json", "dry_run"}
"""Options that print, or that are a function of their own."""

DUMP = {"teacher": "a", "corpus": "b", "cache": "c", "examples": 9}


@pytest.mark.parametrize("name", OF_COMMANDS)
def test_a_function_has_the_options_of_its_command_with_their_defaults(name):
    """Who knows one knows the other; a default of its own would train another student."""
    command, parameters = OF_COMMANDS[name], inspect.signature(getattr(miniend, name)).parameters
    assert set(parameters) - BESIDE == set(command.entries) - NOT_IN_PYTHON
    for one in fields(command.kind):
        if one.name in parameters and option_of(one) is not None:
            missing = (inspect.Parameter.empty, RECORDED)
            assert parameters[one.name].default in (missing if one.default is MISSING else (one.default,))
            assert one.name in inspect.getdoc(getattr(miniend, name))


def test_the_file_that_editors_read_is_not_stale():
    """Run `python docs/reference/generate.py` after a change of an option."""
    spec = importlib.util.spec_from_file_location("python_stub", ROOT / "docs" / "reference" / "python_stub.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    written = Path(api.__file__).with_suffix(".pyi").read_text(encoding="utf-8")
    assert written == module.stub()
    assert "def train_student(\n    *,\n    output: str | Path,\n    cache: str | Path = ...,\n    " in written


def test_help_shows_keywords_as_python_writes_them():
    """`--epochs` in the help of a function would be a riddle."""
    text = inspect.getdoc(miniend.dump_teacher)
    assert "text, or input and target for task pairs" in " ".join(text.split())
    assert "--" not in text
    assert "False: Drop the logit term" in inspect.getdoc(miniend.train_student)  # True would be read as dropping it
    assert str(inspect.signature(miniend.inspect)).startswith("(cache: str | Path, *, plot: str | Path | None = None")


@pytest.mark.parametrize(
    ("call", "line"),
    [
        (lambda: miniend.train_student(cach="a", output="b"), "does not have the keyword cach; did you mean cache?"),
        (lambda: miniend.train_student("a"), "train_student takes keywords only, such as output=...; found 1 values without a"),
        (lambda: miniend.train_student(output="b"), "train_student: expected cache, found none; give cache=..."),
        (lambda: miniend.train_student(cache="a", output="b", steps="many"), "steps: expected a whole number, found 'many'"),
        (lambda: miniend.train_student(cache="a", output="b", bf16=1), "bf16: expected True or False, found 1"),
        (lambda: miniend.train_student(cache=1, output="b"), "cache: expected a text or a path, found 1"),
        (lambda: miniend.train_student(cache="a", output="b", steps=1, warmup_steps=9), "warmup_steps must be between 0 and "),
        (lambda: miniend.train_student(cache="a", output="b", init="teacher-layers:"), "init teacher-layers:: expected"),
        (lambda: miniend.evaluate(model="a", tasks="glue/nonsense", output="b"), "nonsense"),
        (lambda: miniend.inspect("nowhere", "b", 3), "inspect takes cache and keywords, such as plot=...; found 3 values"),
        (lambda: miniend.dump_teacher(**DUMP, tokenizer=str), "tokenizer belongs to a model in memory"),
        (lambda: miniend.dump_teacher(**DUMP | {"teacher": 3}), "teacher: expected a text or a model of transformers, found 3"),
    ],
)  # fmt: skip
def test_a_wrong_call_is_one_line_with_the_keyword(call, line, tmp_path, monkeypatch):
    """And nothing is written, since all of it is known before the first file is read."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError) as raised:
        call()
    assert line in str(raised.value)
    assert "--" not in str(raised.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("value", "hint", "meant"),
    [
        (np.int64(3), int, 3),
        (2e5, int, 200_000),
        (np.float32(0.5), float, 0.5),
        (1, float, 1.0),
        (np.True_, bool, True),
        (Path("a"), str, "a"),
        ("a", Path, Path("a")),
        (None, int | None, None),
        ("a", tuple[str, ...], ("a",)),
        (["a", Path("b")], tuple[str, ...], ("a", "b")),
        (0.1, tuple[float, ...], (0.1,)),
        (np.array([1, 2]), tuple[int, ...], (1, 2)),
        ("a", str | Path, "a"),
        (["a"], str | tuple[str, ...], ("a",)),
    ],
)
def test_values_of_python_become_those_of_options(value, hint, meant):
    """A record of a run is JSON, in which a NumPy number cannot be written."""
    found = fitted("name", value, hint)
    assert (found, type(found)) == (meant, type(meant))


@pytest.mark.parametrize(("value", "hint"), [("", str), (True, int), (1.5, int), ("1", float), (1, bool), (None, str)])
def test_a_value_of_another_type_is_refused(value, hint):
    """`steps=True` is a slip of the hand, and not one step."""
    with pytest.raises(ConfigurationError, match="name: expected"):
        fitted("name", value, hint)


def test_lines_and_errors_name_keywords_but_whole_commands_stay():
    """`lower --batch-size` helps nobody who wrote batch_size=, and a command is pasted as it is."""

    @of_options(TrainConfig)
    def call(given) -> "str":
        given.log("lower --batch-size, or take --no-logits and --allow-unfinished; --strange-flag")
        given.log("next: miniend train-student --cache a --batch-size 3")
        raise MiniEndError("raise --warmup-steps")

    lines = []
    with pytest.raises(MiniEndError) as raised:
        call(cache="a", output="b", log=lines.append)
    assert str(raised.value) == "raise warmup_steps"
    assert lines == [
        "lower batch_size, or take logits=False and allow_unfinished=True; --strange-flag",
        "next: miniend train-student --cache a --batch-size 3",
    ]


def test_help_does_not_speak_of_repeating_a_keyword():
    """On the command line an option is repeated; in Python a sequence says the same, where several are taken."""
    for function in (miniend.dump_teacher, miniend.train_student, miniend.train_students, miniend.evaluate):
        assert "Repeatable" not in function.__doc__
    assert "One, or a sequence" in miniend.dump_teacher.keywords["corpus"].help
    assert "sequence" not in miniend.train_student.keywords["size"].help
    assert "One, or a sequence" in miniend.train_students.keywords["size"].help
