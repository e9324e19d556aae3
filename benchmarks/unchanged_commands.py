"""Run commands of the build that is imported as `miniend`, each in its own process, forked after the slow imports.

A child starts from a parent that has imported libraries and computed nothing, so it does not know the command before.
"""

import os
import re
import runpy
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable
from contextlib import redirect_stdout
from functools import cache
from importlib import import_module
from pathlib import Path
from threading import Thread
from time import sleep

RENAMED_OPTIONS = (
    ("train-student", "--accumulate", "--gradient-accumulation-steps", "{}"),
    ("train-student", "--clip", "--max-grad-norm", "{}"),
    ("train-student", "--init-from-teacher", "--init", "teacher-layers:{}"),
    ("dump-teacher", "--passes", "--corpus-epochs", "{}"),
    ("dump-teacher", "--mean-span", "--mean-noise-span-length", "{}"),
    ("dump-teacher", "--objective", "--task", "{}"),
)
"""Command, the option as the scenarios write it, its name in a build that does not have it, and the form of its value there."""
NO_SIGNALS = ("--signal", "none")
"""An option whose empty value, in the scenarios, has another word in a build that does not take an empty one."""
LIBRARIES = ("torch", "torch.utils.tensorboard", "transformers", "accelerate", "safetensors.torch", "zarr", "pcodec")
FAMILIES = ("T5", "MT5", "UMT5")
TERMINATED = 128 + signal.SIGTERM
"""The exit status of a command that was told to stop."""


def import_libraries() -> None:
    """Import the libraries that every command needs and that take seconds."""
    for library in LIBRARIES:
        import_module(library)
    for family in FAMILIES:
        getattr(import_module("transformers"), f"{family}ForConditionalGeneration")


@cache
def help_of(command: str) -> str:
    """Return the help of a command."""
    asked = [sys.executable, "-m", "miniend", command, "--help"]
    return subprocess.run(asked, capture_output=True, text=True, check=True).stdout


def takes_no_empty_signals(command: str) -> bool:
    """Return whether this build has a word for no signals."""
    return "'' for none" not in " ".join(help_of(command).split())


def options_of(command: str) -> frozenset[str]:
    """Return the options that the help of a command lists."""
    return frozenset(re.findall(r"^  (?:-\w, )?(--[a-z0-9-]+)(?=[ ,/]|$)", help_of(command), flags=re.MULTILINE))


def in_todays_words(arguments: list[str]) -> list[str]:
    """Return a command line in which the options that this build does not have take their other names."""
    words = list(arguments)
    for command, old, new, form in RENAMED_OPTIONS:
        if words[0] == command and old in words and old not in options_of(command):
            for place in [place for place, word in enumerate(words) if word == old]:
                words[place : place + 2] = [new, form.format(words[place + 1])]
    if NO_SIGNALS[0] in words and takes_no_empty_signals(words[0]):
        place = words.index(NO_SIGNALS[0]) + 1
        words[place] = words[place] or NO_SIGNALS[1]
    return words


def miniend(arguments: list[str]) -> None:
    """Do what `python -m miniend` does with these arguments."""
    sys.argv = ["miniend", *arguments]
    try:
        runpy.run_module("miniend", run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        if ended.code:
            raise


def printed(arguments: list[str], file: Path) -> None:
    """Run a command, with its standard output in a file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", encoding="utf-8") as stream, redirect_stdout(stream):
        miniend(arguments)


def stopped(arguments: list[str], log: Path, lines: int) -> None:
    """Run a command, and stop it by SIGTERM once a file has this many lines."""
    Thread(target=_stop_at, args=(log, lines), daemon=True).start()
    try:
        miniend(arguments)
    except SystemExit as ended:
        if ended.code == TERMINATED:
            return
        raise
    raise RuntimeError(f"the command had ended before {log} was seen to have {lines} lines")


def _stop_at(log: Path, lines: int) -> None:
    while not log.exists() or log.read_bytes().count(b"\n") < lines:
        sleep(0.001)
    os.kill(os.getpid(), signal.SIGTERM)


def in_child(job: Callable[[], None], work: Path, log: Path) -> bool:
    """Do a job in a forked process in the folder `work`, and append its output to `log`; return whether it succeeded."""
    log.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    child = os.fork()
    if not child:
        _work(job, work, log)
    _, status = os.waitpid(child, 0)
    return status == 0


def _work(job: Callable[[], None], work: Path, log: Path) -> None:
    status = 1
    try:
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.chdir(work)
        job()
        status = 0
    except SystemExit:
        pass  # the command has said why
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def last_line(log: Path) -> str:
    """Return the last line that a job printed."""
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n") if log.exists() else []
    return next((line for line in reversed(lines) if line.strip()), "nothing was said")
