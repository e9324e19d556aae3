"""The help: what matters first, everything on request, and as wide as the terminal between 80 and 120 columns."""

import re

import pytest

from miniend import cli
from miniend.cli import COMMANDS, STEPS
from miniend.runtime.help import FEW


def shown(capsys, *arguments):
    assert cli.run(arguments) == 0
    said = capsys.readouterr()
    assert said.err == ""
    return said.out


@pytest.mark.parametrize(
    ("columns", "least", "most"), [(40, 72, 80), (80, 72, 80), (100, 90, 100), (120, 110, 120), (300, 110, 120)]
)
@pytest.mark.parametrize(
    "arguments", [["--help"], ["dump-teacher", "--help"], ["train-student", "--help-all"]], ids=" ".join
)
def test_the_help_is_as_wide_as_the_terminal_between_80_and_120_columns(
    capsys, monkeypatch, columns, least, most, arguments
):
    """In a wide terminal 80 columns waste half of it, in a narrow one the examples would break, and 300 cannot be read."""
    monkeypatch.setenv("COLUMNS", str(columns))
    widest = max(map(len, shown(capsys, *arguments).splitlines()))
    assert least <= widest <= most


def row_of(entry):
    """How an option with its sentence looks in the help, apart from blanks."""
    return " ".join(f"{entry.written} {entry.declared.help} [{entry.allowed}]".split())


@pytest.mark.parametrize("command", [command.name for command in COMMANDS])
def test_the_first_help_explains_what_matters_and_names_the_rest(capsys, command):
    """A wall of forty options is what a newcomer meets; an option that is not even named is what others look for."""
    first, every = shown(capsys, command, "-h"), shown(capsys, command, "--help-all")
    assert first == shown(capsys, command, "--help")
    entries = cli.app.commands[command].entries.values()
    flat = " ".join(first.split())
    for entry in entries:
        assert entry.shown_flag in first
        explained = row_of(entry) in flat
        assert explained is (entry.declared.section == "essential" or len(entries) <= FEW), entry.flag
    assert (f"miniend {command} --help-all" in first) is (len(entries) > FEW)
    assert "--help-all` explains" not in every
    assert len(first.splitlines()) <= 75


def test_what_must_be_given_comes_first_and_values_have_words_that_people_read(capsys):
    """INTEGER and TEXT say what a program stores, not what to type."""
    text = shown(capsys, "dump-teacher", "--help-all")
    flags = re.findall(r"^  (--[a-z-]+)", text.partition("Essential:")[2].partition("\n\n")[0], re.MULTILINE)
    assert set(flags[:4]) == {"--cache", "--teacher", "--corpus", "--examples"}
    words = {entry.written.partition(" ")[2] for command in COMMANDS for entry in command.entries.values()}
    assert words - {""} == {
        *(
            "N",
            "NUMBER",
            "NAME",
            "PATH",
            "PATH_OR_NAME",
            "SIZE",
            "SITE",
            "SITE=LAYER",
            "RANGES",
            "SITES",
            "TASK",
            "TERM=NUMBER",
            "[START:]SOURCE",
            "pruned:SORTED",
            "FRACTION,...",
            "USER/NAME",
        ),
    }


def test_the_first_page_says_what_to_type_first_second_and_third(capsys):
    """A list of commands by name does not tell a newcomer where to begin. Each line can be pasted as it is."""
    text = shown(capsys, "--help")
    assert text == shown(capsys) == shown(capsys, "-h")
    places = [text.index(f"  {number}  {step}") for number, step in enumerate(STEPS, start=1)]
    assert places == sorted(places)
    order = [step.split()[1] for step in STEPS]
    assert order == ["demo", "estimate", "dump-teacher", "inspect", "verify", "train-student", "evaluate", "compare"]
    assert all(command.help in " ".join(text.split()) for command in COMMANDS)
    for step in STEPS:
        _, name, *arguments = step.replace("\\\n", " ").split()
        with cli.app.commands[name].make_context(name, arguments) as context:
            cli.app.commands[name].configure(context)
