"""Completion, asked as a shell asks: commands, options, choices and files."""

import subprocess
import sys

import pytest
from click.shell_completion import BashComplete

from miniend import cli
from miniend.runtime.completion import SHELLS, VARIABLE, completion_script


def completions(*words):
    """What can follow these words, of which the last one is not complete."""
    *before, last = words
    found = BashComplete(cli.app, {}, "miniend", VARIABLE).get_completions(list(before), last)
    return [one.value for one in found], {one.type for one in found}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("dump",), ["dump-teacher"]),
        (("train-student", "--obj"), ["--objective"]),
        (("train-student", "--objective", "miniend-"), ["miniend-d", "miniend-e"]),
        (("train-student", "--schedule", ""), ["linear", "cosine", "constant", "inverse-sqrt"]),
        (("dump-teacher", "--logits", "h"), ["hybrid"]),
        (("evaluate", "--protocol", ""), ["head", "text"]),
        (("completion", ""), list(SHELLS)),
        (("train-student", "--no-lo"), ["--no-logits"]),
    ],
    ids=" ".join,
)
def test_commands_options_and_choices_are_completed(words, expected):
    found, types = completions(*words)
    assert set(expected) <= set(found)
    assert types == {"plain"}
    if len(expected) < 3:
        assert found == expected


def test_every_command_is_completed():
    found, _ = completions("")
    assert set(found) == set(cli.app.commands)


@pytest.mark.parametrize(
    "words",
    [
        ("dump-teacher", "--corpus", "wi"),
        ("dump-teacher", "--teacher", ""),
        ("train-student", "--cache", ""),
        ("train-student", "--output", ""),
        ("train-student", "--config", ""),
        ("inspect", ""),
    ],
    ids=" ".join,
)
def test_files_are_completed_where_an_option_may_name_one(words):
    assert completions(*words)[1] == {"file"}


def test_a_plugin_can_add_choices():
    """They are asked for when they are needed."""
    from miniend.student_train.objective import OBJECTIVES

    OBJECTIVES.add("zz-mine", OBJECTIVES["minilm"])
    try:
        assert completions("train-student", "--objective", "zz")[0] == ["zz-mine"]
    finally:
        OBJECTIVES._entries.pop("zz-mine")


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_of_a_shell_is_printed(capsys, shell):
    assert cli.run(["completion", shell]) == 0
    text = capsys.readouterr().out
    assert text == completion_script(cli.app, shell)
    assert "miniend" in text
    assert f"{VARIABLE}={shell}_complete" in text


def test_bash_reads_the_script_and_the_command_answers():
    """The whole way: bash accepts the script, and a real process answers its question without loading torch."""
    script = completion_script(cli.app, "bash")
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)
    asked = {VARIABLE: "bash_complete", "COMP_WORDS": "miniend train-student --sched", "COMP_CWORD": "2"}
    code = "import os, sys; os.environ.update(%r); from miniend import cli; cli.answer_a_shell(cli.app); print('not asked')"
    done = subprocess.run([sys.executable, "-c", code % asked], capture_output=True, text=True, check=True)
    assert done.stdout == "plain,--schedule\n"
