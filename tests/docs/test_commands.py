"""Every command of README.md and docs/ is one that the command line takes: parsed, with its configuration, and not run."""

import re
import shlex

import click
import pytest

from miniend.cli import COMMANDS, app
from miniend.runtime.given import Record
from miniend.runtime.options import options_of
from support.pages import code_blocks, inline_code, name_of, pages

OF_OTHERS = {"--nproc-per-node", "--exclude", "--index-url", "--help", "--version"}
"""Options of torchrun, hf and pip, and those that click brings."""
KNOWN = {
    "teacher": "a/b",
    "corpus": "python-docs",
    "examples": 9,
    "model": "a/b",
    "tasks": "glue/sst2",
    "file": "/",
    "cache": "s3://a/b",
}
"""What the record of an output could say."""
_SETTING = re.compile(r"[A-Z_]+=\S*")
_FLAG = re.compile(r"--[a-z][\w-]*")


def commands(markdown):
    """The arguments of every `miniend` command in the blocks that are for a shell."""
    for block in code_blocks(markdown, "", "sh", "console"):
        for line in re.sub(r"\\\n\s*", " ", block).splitlines():
            words = shlex.split(line.strip().removeprefix("$ "), comments=True) if "miniend " in line else []
            while words and _SETTING.fullmatch(words[0]):
                words = words[1:]
            if words[:1] == ["torchrun"] and "-m" in words:
                words = words[words.index("-m") + 1 :]
            if words[:1] == ["miniend"]:
                yield words[1 : words.index(">") if ">" in words else None]


ALL = [(name_of(page), words) for page in pages() for words in commands(page.read_text(encoding="utf-8"))]


def parse(words):
    """Parse a command and check its values, with an output that knows the rest where there can be one.

    Plugins and files that only the reader has are not read, so what they name is not known.
    """

    def known(given):
        values = {name: value for name, value in KNOWN.items() if name in options_of(command.kind)}
        return Record(source="the output", values=values) if {"cache", "output"} & set(given) else None

    with app.make_context("miniend", list(words)) as context:
        command = app.get_command(context, words[0])
        assert command is not None, f"no command {words[0]}"
        with command.make_context(words[0], list(words[1:]), parent=context) as own:
            if not own.params["plugin"] and not own.params["config"]:
                command.configure(own, known if command.recorded else None)


@pytest.mark.parametrize(("page", "words"), ALL, ids=[f"{page}: {' '.join(words)[:60]}" for page, words in ALL])
def test_a_command_of_the_documentation_parses(page, words):
    """What a reader pastes must not end with 'no such option'."""
    parse(words)


def test_all_commands_are_shown_somewhere():
    """Also says that the search finds commands at all: about forty stand in the pages."""
    assert {words[0] for _, words in ALL} == {command.name for command in COMMANDS}
    assert len(ALL) > 30


@pytest.mark.parametrize(
    "line",
    [
        "miniend train-student --cache a --output b --size 6L384H --nonsense 3",
        "miniend train-student --cache a",
        "miniend train-student --steps 5",
        "miniend dump-teacher --teacher a --corpus b --cache c --examples many",
        "torchrun --nproc-per-node 2 -m miniend train-student --cache a --output b \\\n    --objective nonsense",
        "OMP_NUM_THREADS=1 miniend compare a.yaml",
        "miniend nonsense a",
    ],
)
def test_a_wrong_command_is_found(line):
    """A check that misses the options would be worth nothing."""
    [words] = commands(f"```\n{line}\n```\n")
    with pytest.raises((click.ClickException, ValueError, AssertionError)):
        parse(words)


def test_every_flag_in_the_text_is_an_option_of_some_command():
    """An option that was renamed must not live on in a sentence."""
    known = {flag for command in COMMANDS for one in command.params for flag in (*one.opts, *one.secondary_opts)}
    named = {
        (name_of(page), flag)
        for page in pages()
        for code in inline_code(page.read_text(encoding="utf-8"))
        if "benchmarks/" not in code
        for flag in _FLAG.findall(code)
    }
    assert len(named) > 100
    assert sorted(one for one in named if one[1] not in known | OF_OTHERS) == []
