"""Temporary files: whatever is wrong with their disk, a line names TMPDIR; a user without a home is a user too."""

import errno
import os
import tempfile

import pytest

from miniend.errors import CacheDamagedError, MiniEndError
from miniend.runtime.options import flag_of
from miniend.runtime.temporary import temporary_folder
from miniend.teacher_dump.config import DumpConfig
from support.fork_server import SMALL
from support.tiny_t5 import build_tiny_t5, tiny_texts, write_texts
from support.tiny_tokenizer import build_tiny_tokenizer

LITTLE_ROOM = """
import resource, signal
from miniend.__main__ import main
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
main()
"""
NO_HOME = """
import os, pwd
from miniend.__main__ import main
def unknown(user):
    raise KeyError(user)
os.environ.pop("HOME", None)
pwd.getpwuid = unknown
main()
"""


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    """A small dump's options, without its cache."""
    root = tmp_path_factory.mktemp("temporary")
    texts = tiny_texts(20, words=30)
    teacher = build_tiny_t5(
        root / "teacher", build_tiny_tokenizer(texts, 60, sentinels=8), layers=(1, 1), d_model=8, heads=2, d_kv=8
    )
    settings = {**SMALL, "teacher": teacher, "corpus": write_texts(root / "corpus.jsonl", texts)}
    return [f"{flag_of(DumpConfig, name)}={value}" for name, value in settings.items()]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_names_what_to_set(code):
    """A write does not say where it failed, and nobody thinks of /tmp."""
    with (
        pytest.raises(MiniEndError, match=f"{tempfile.gettempdir()}: {os.strerror(code)}; set TMPDIR"),
        temporary_folder(),
    ):
        raise OSError(code, os.strerror(code))


def test_a_folder_that_cannot_be_written_names_what_to_set(tmp_path, monkeypatch):
    """Neither its making nor a file in it."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with pytest.raises(MiniEndError, match="missing: No such file or directory; set TMPDIR"), temporary_folder():
        pass
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(MiniEndError, match="Read-only file system; set TMPDIR"), temporary_folder() as folder:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(folder / "file"))
    assert list(tmp_path.iterdir()) == []


def test_no_usable_folder_names_what_to_set(monkeypatch):
    """As in a container whose only writable place is a volume."""

    def none():
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr(tempfile, "gettempdir", none)
    monkeypatch.setenv("TMPDIR", "/full")
    with pytest.raises(MiniEndError, match="in /full: No usable temporary directory"), temporary_folder():
        pass


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOENT, "gone", "/elsewhere"), OSError(errno.EIO, "io"), CacheDamagedError("x")]
)
def test_errors_of_other_files_pass(error):
    """The advice would be wrong."""
    with pytest.raises(type(error)) as raised, temporary_folder():
        raise error
    assert raised.value is error


def test_commands_with_little_room_say_so(commands, options):
    """The tokenizer's files and a trial's cache are what is written there."""
    process = commands.python(LITTLE_ROOM, "estimate", *(one for one in options if not one.startswith("--cache")))
    _, said = process.communicate()
    lines = [line for line in said.splitlines() if line.startswith("miniend: ")]
    assert (process.returncode, len(lines)) == (2, 1), said
    assert "set TMPDIR to a folder" in lines[0]
    assert "Traceback" not in said


def test_a_missing_folder_and_a_missing_home_do_not_matter(commands, options, tmp_path):
    """A container runs as a number that no table of users knows."""
    env = {"TMPDIR": str(tmp_path / "missing"), "XDG_CACHE_HOME": ""}
    process = commands.python(NO_HOME, "dump-teacher", *options, f"--cache={tmp_path / 'cache'}", env=env)
    _, said = process.communicate()
    assert process.returncode == 0, said
