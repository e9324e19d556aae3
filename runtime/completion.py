"""Completion in shells: the script that a shell reads once, and the answers to its questions, both by click's own mechanism."""

import os
import sys
from dataclasses import dataclass

import click
from click.shell_completion import get_completion_class, shell_complete

from .options import check, option

SHELLS = ("bash", "zsh", "fish")
VARIABLE = "_MINIEND_COMPLETE"
"""The variable in which the script says what it wants to know."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CompletionConfig:
    """The options of `miniend completion`."""

    shell: str = option(
        section="essential", positional=True, metavar="SHELL", choices=SHELLS, help="The shell that you use."
    )

    def __post_init__(self) -> None:
        check(self)


def completion_script(group: click.Group, shell: str) -> str:
    """Return the script that a shell reads to complete the commands of a group."""
    kind = get_completion_class(shell)
    assert kind is not None
    assert group.name is not None
    one = kind(group, {}, group.name, VARIABLE)
    return one.source_template % one.source_vars()


def answer_a_shell(group: click.Group) -> None:
    """Print what can follow the text typed so far and end, if a shell asks for that."""
    if asked := os.environ.get(VARIABLE):
        sys.exit(shell_complete(group, {}, group.name or "", VARIABLE, asked))
