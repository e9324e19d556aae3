"""Every line for people passes one function, and every error is one line, whatever names are in it."""

import contextlib
import io
import json
import os
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miniend import errors
from miniend.errors import MiniEndError, damaged, in_one_line, one_line
from miniend.runtime.printing import (
    Detail,
    Level,
    Result,
    Verdict,
    chosen_level,
    fitted,
    say,
    say_json,
    set_level,
    tell,
)
from support.terminal import terminal

HOSTILE = "\x1b[2J\x1b]0;title\x07 a\nminiend: c is sound\r\u202eb\ud800\u2028<script>"
names = st.text() | st.just(HOSTILE)
ERRORS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, MiniEndError)]


@settings(max_examples=50)
@given(name=names)
def test_a_line_is_one_line_of_characters_that_print(name):
    """ESC clears the screen of whoever looks at a stranger's cache, and a line break forges `... is sound`."""
    for err in (False, True):
        out, wrong = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(wrong):
            say(f"teacher {name}", err=err)
        printed = (wrong if err else out).getvalue()
        assert printed.endswith("\n")
        lines = printed.splitlines()
        assert all(line.isprintable() for line in lines)
        assert "".join("".join(lines).split()) == "".join(one_line(f"teacher {name}").split())
        assert len(lines) == 1 or not err


@settings(max_examples=50)
@given(name=names)
def test_json_says_the_same_in_ascii(name):
    """A program reads the very name; a terminal gets no character of it that acts."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        say_json({"teacher": name})
    assert json.loads(out.getvalue()) == {"teacher": name}
    assert out.getvalue().isascii()
    assert out.getvalue().replace("\n", "").isprintable()


@settings(max_examples=30)
@given(name=names, kind=st.sampled_from(ERRORS))
def test_every_error_of_ours_is_one_line_in_a_traceback_too(name, kind):
    """Python prints the message itself where a program does not catch it."""
    assert str(kind(f"{name} is damaged")).isprintable()
    assert str(damaged(name, name)).isprintable()
    assert in_one_line(ValueError(name), 10_000).isprintable()


def test_a_value_of_megabytes_leaves_what_to_do_in_the_message():
    """A label of a stranger's file was a million characters on the terminal, with the advice out of sight."""
    said = str(MiniEndError(f"expected a label, found {'x' * 10**6}; correct the file"))
    assert len(said) < 11_000
    assert said.startswith("expected a label, found xxx")
    assert said.endswith("xxx; correct the file")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_terminal_of_any_encoding_gets_the_line(encoding):
    """The formula of a term has letters that ASCII lacks; printing it ended the training."""
    code = (
        "from miniend.runtime.printing import allow_any_encoding, say; allow_any_encoding(); say('Q K\\u1d40 \\u202e')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, env={**os.environ, "PYTHONIOENCODING": encoding}, check=False
    )
    expected = "Q Kᵀ \\u202e\n".encode(encoding, "backslashreplace")
    assert (done.returncode, done.stdout) == (0, expected)


@pytest.fixture
def at_level():
    """at_level(level): the level of a command, until the test ends."""
    yield set_level
    set_level(Level.NORMAL)


def test_each_level_shows_its_lines(capsys, at_level):
    """A warning is never lost, also an indented one; details do not reach standard output, where a program may read."""
    lines = ("plain", "  warning: it hurts", Result("made"), Verdict("done"), Detail("torch 2"))
    quiet, plain, details = ["  warning: it hurts", "made", "done"], ["plain"], ["torch 2"]
    for level, out, err in (
        (Level.QUIET, quiet, []),
        (Level.NORMAL, plain + quiet, []),
        (Level.VERBOSE, plain + quiet, details),
    ):
        at_level(level)
        for line in lines:
            tell(line)
        captured = capsys.readouterr()
        assert (captured.out.splitlines(), captured.err.splitlines()) == (out, err)


def test_results_and_errors_are_said_at_every_level(capsys, at_level):
    at_level(Level.QUIET)
    say("total  5")
    say("miniend: no cache", err=True)
    assert capsys.readouterr() == ("total  5\n", "miniend: no cache\n")


def test_the_options_choose_the_level():
    levels = {pair: chosen_level(*pair) for pair in ((False, False), (True, False), (False, True))}
    assert list(levels.values()) == [Level.NORMAL, Level.QUIET, Level.VERBOSE]
    with pytest.raises(errors.ConfigurationError, match="--quiet and --verbose"):
        chosen_level(True, True)


@pytest.mark.parametrize(
    ("line", "lines"),
    [
        ("  a line of words too", ["  a line of words", "    too"]),
        ("x" * 30, ["x" * 30]),
        ("in /a/path/that/is/long now", ["in", "  /a/path/that/is/long", "  now"]),
        ("steps  4 of 4 examples and more", ["steps  4 of 4", "       examples", "       and more"]),
        ("  miniend verify c --json --quiet", ["  miniend verify c \\", "      --json \\", "      --quiet"]),
        ("fits in it all", ["fits in it all"]),
    ],
)
def test_a_line_that_is_too_long_goes_on_below(line, lines):
    """Under its own text in a table, and in a command so that a shell reads it."""
    assert fitted(line, 18) == lines


def test_errors_stay_in_one_line(capsys):
    """A log is searched for them."""
    say("miniend: " + "word " * 60 + "end", err=True)
    say("word " * 60 + "end")
    out, err = capsys.readouterr()
    assert (len(err.splitlines()), len(out.splitlines())) == (1, 4)


def test_colours_are_few_and_only_in_terminals_that_want_them(monkeypatch, capsys):
    """Yellow for warnings, red for errors, bold for verdicts; a narrow terminal wraps at its own width."""
    lines = ("warning: it hurts", Verdict("sound"), "plain")

    def shown():
        with terminal(monkeypatch, 60) as screen:
            for line in lines:
                tell(line)
            say("miniend: no cache", err=True)
            tell("word " * 20)
        return screen

    monkeypatch.delenv("NO_COLOR", raising=False)
    coloured = shown()
    assert "\x1b[33mwarning: it hurts\x1b[0m" in coloured.text
    assert "\x1b[1msound\x1b[0m" in coloured.text
    assert "\x1b[31mminiend: no cache\x1b[0m" in coloured.text
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in shown().text
    rows = shown().screen()
    assert rows == coloured.screen()
    assert [len(row) for row in rows[4:6]] == [59, 41]
    tell(Verdict("sound"))
    assert capsys.readouterr().out == "sound\n"
