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
from miniend.runtime.printing import say, say_json

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
        assert printed[:-1].isprintable()
        assert printed[:-1] == one_line(f"teacher {name}")


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
