"""Commands of the command line, built from configuration dataclasses whose fields are options (`runtime/options.py`).

The help of a command has 80 columns everywhere: its options by section, each with its default, and two examples.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import Field, dataclass, fields
from functools import partial
from inspect import get_annotations
from pathlib import Path
from textwrap import wrap
from typing import Any

import click
from click.core import ParameterSource

from .cores import choose_waiting
from .environment import environment_lines
from .launcher import require_one_process
from .options import REQUIRED, SECTIONS, Option, Shape, default_text, flag_of, option, option_of, shapes_of
from .plugins import load_plugins
from .printing import Detail, Level, chosen_level, level, set_level, tell
from .there import NOT_UTF8, is_utf8

WIDTH, INDENT, HELP_COLUMN = 80, 2, 28
SETTINGS = {"terminal_width": WIDTH, "max_content_width": WIDTH}
"""The width of the help, whatever the terminal has."""
_EXTRA = re.compile(r"Got unexpected extra arguments? \((.*)\)")
"""What click says of words that no option takes, such as the files of a glob that the shell has expanded."""
_WORDS = {int: "N", float: "NUMBER", Path: "PATH", str: "NAME"}


class _NamedPath(click.Path):
    """A path that a system can have, and not an empty one, which pathlib takes for the working directory."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":
            self.fail("expected a path, found an empty text", param, ctx)
        if "\0" in str(value):
            self.fail("expected a path, found a text with a NUL character", param, ctx)
        if not is_utf8(value):
            self.fail(f"expected a path in UTF-8, found {str(value)!r}; {NOT_UTF8}", param, ctx)
        return super().convert(value, param, ctx)


_TYPES = {int: click.INT, float: click.FLOAT, Path: _NamedPath(path_type=Path), str: click.STRING}


@dataclass(frozen=True, kw_only=True, slots=True)
class OfEveryCommand:
    """The options that every command takes in addition to its own."""

    plugin: tuple[str, ...] = option(
        (),
        section="advanced",
        metavar="FILE_OR_MODULE",
        shown="none",
        help="Python file or module to import first; it can register objectives, terms and more. Repeatable.",
    )
    quiet: bool = option(False, section="advanced", help="Print only results, warnings and errors, and no progress.")
    verbose: bool = option(
        False,
        section="advanced",
        help="Print versions, threads, plan and times too, and with an error where it came from.",
    )


OF_OUTPUT = ("quiet", "verbose")
"""The options of every command that choose how much is printed."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """One option of a command: how it is read, and how the help shows it."""

    field: "Field[Any]"
    declared: Option
    shape: Shape
    flag: str

    @classmethod
    def all_of(cls, kind: type) -> "dict[str, _Entry]":
        """Return the options of a class by the names of their fields; those that its bases declare come last."""
        shapes, classes = shapes_of(kind), kind.__mro__
        depth = {name: n for n, one in reversed([*enumerate(classes)]) for name in get_annotations(one)}
        return {
            one.name: cls(one, declared, shapes[one.name], flag_of(kind, one.name))
            for one in sorted(fields(kind), key=lambda one: depth[one.name])
            if (declared := option_of(one)) is not None
        }

    @property
    def default(self) -> str:
        """The default in words."""
        return default_text(self.field)

    @property
    def required(self) -> bool:
        """Whether the option must be given."""
        return self.default == REQUIRED

    @property
    def opposite(self) -> str | None:
        """The flag that switches off what is on unless said otherwise."""
        return self.flag.replace("--", "--no-", 1) if self.field.default is True else None

    def parameter(self) -> click.Parameter:
        """Return what click parses."""
        name = self.field.name
        if self.declared.positional:
            return click.Argument([name], required=self.required, type=_TYPES[self.shape.type], metavar=self.flag)
        if self.shape.type is bool:
            flags = self.flag if self.opposite is None else f"{self.flag}/{self.opposite}"
            return click.Option([flags, name], is_flag=True, default=self.field.default)
        kind, several = _TYPES[self.shape.type], self.shape.repeatable
        return click.Option([self.flag, name], required=self.required, multiple=several, type=kind)

    @property
    def written(self) -> str:
        """The option as a user types it: the flag, and a word for the value."""
        words = () if self.shape.type is bool or self.declared.positional else (self._metavar(),)
        return " ".join([self.opposite or self.flag, *words])

    @property
    def allowed(self) -> str:
        """The choices, if there are any, and the default."""
        choices = self.declared.known_choices()
        return (f"one of {', '.join(choices)}; " if choices else "") + self.default

    def help(self) -> str:
        """Return the lines of the help: the flag, then its sentence, its choices and its default."""
        left = " " * INDENT + self.written
        lines = _wrapped(f"{self.declared.help} [{self.allowed}]", HELP_COLUMN)
        if len(left) + 2 <= HELP_COLUMN:
            lines[0] = left.ljust(HELP_COLUMN) + lines[0].lstrip()
        else:
            lines.insert(0, left)
        return "\n".join(lines) + "\n"

    def _metavar(self) -> str:
        return self.declared.metavar or _WORDS[self.shape.type]


class ConfiguredCommand(click.Command):
    """A command whose options are the fields of a configuration dataclass.

    `run` gets the configuration. Of an option that takes several values the configuration has the first, and `run` gets all of
    them by the name of the field. `more` is a second paragraph of the help; `without` names fields that are not offered; `ranks`
    says that several processes of a launcher may run it together, `computes` that it loads torch for long work.
    """

    def __init__(
        self,
        name: str,
        kind: type,
        run: Callable[..., int | None],
        *,
        summary: str,
        examples: tuple[str, str],
        more: str = "",
        without: tuple[str, ...] = (),
        ranks: bool = False,
        computes: bool = True,
    ) -> None:
        self.kind, self.run, self.examples, self.more = kind, run, examples, more
        self.ranks, self.computes = ranks, computes
        own = {name: entry for name, entry in _Entry.all_of(kind).items() if name not in without}
        self.entries = {**own, **_Entry.all_of(OfEveryCommand)}
        params = [entry.parameter() for entry in self.entries.values()]
        super().__init__(name, params=params, help=summary, context_settings=dict(SETTINGS), callback=self._called)

    def configure(self, context: click.Context) -> tuple[Any, dict[str, tuple[Any, ...]]]:
        """Return the configuration that a command line asks for, and all values of the options that take several.

        Plugins are imported first. Raises ConfigurationError for a plugin or a value that cannot work.
        """
        given = {
            name: value
            for name, value in context.params.items()
            if context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        }
        load_plugins(given.pop("plugin", ()))
        for name in OF_OUTPUT:
            given.pop(name, None)
        several = {name: given.get(name, ()) for name, entry in self.entries.items() if entry.declared.several}
        first = {name: values[0] for name, values in several.items() if values}
        return self.kind(**{**given, **first}), several

    def _called(self, **_values: Any) -> int | None:
        if not self.ranks:
            require_one_process(f"miniend {self.name}")
        set_level(chosen_level(*(click.get_current_context().params[name] for name in OF_OUTPUT)))
        if self.computes:
            choose_waiting(partial(tell, err=True))
        if level() is Level.VERBOSE:
            for line in environment_lines(str(click.get_current_context().obj)):
                tell(Detail(line))
        config, several = self.configure(click.get_current_context())
        return self.run(config, **several)

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the whole help of this command."""
        places = "".join(f" {entry.flag}" for entry in self.entries.values() if entry.declared.positional)
        formatter.write(f"Usage: {ctx.command_path}{places} [OPTIONS]\n\n")
        for text in filter(None, (self.help, self.more)):
            formatter.write("\n".join(_wrapped(text, INDENT)) + "\n\n")
        for section in SECTIONS:
            entries = [entry for entry in self.entries.values() if entry.declared.section == section]
            if entries:
                entries.sort(key=lambda entry: not entry.required)
                formatter.write(f"{section.capitalize()}:\n" + "".join(entry.help() for entry in entries) + "\n")
        formatter.write("Examples:\n" + "\n".join(self.examples) + "\n")


class CommandGroup(click.Group):
    """The commands of one program; without a command it shows its help."""

    def called_with(self, arguments: Sequence[str]) -> int:
        """Run one command line and return its status. Raises what the command raises; click's own `main` would catch signals."""
        try:
            with self.make_context(self.name, [*arguments]) as context:
                return int(self.invoke(context) or 0)
        except click.exceptions.Exit as ended:
            return ended.exit_code

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands with their summaries."""
        formatter.write(f"Usage: {ctx.command_path} COMMAND [OPTIONS]\n\n")
        formatter.write("\n".join(_wrapped(self.help or "", INDENT)) + "\n\nCommands:\n")
        for name, command in self.commands.items():
            lines = _wrapped(command.help or "", HELP_COLUMN)
            lines[0] = (" " * INDENT + name).ljust(HELP_COLUMN) + lines[0].lstrip()
            formatter.write("\n".join(lines) + "\n")
        closing = f"`{ctx.command_path} COMMAND --help` shows the options of a command, `--version` the version."
        formatter.write("\n" + "\n".join(_wrapped(closing, INDENT)) + "\n")


def program(name: str, summary: str, version: str, commands: Iterable[click.Command]) -> CommandGroup:
    """Return the group of all commands, with `--version`."""

    def root(show_version: bool) -> None:
        context = click.get_current_context()
        context.obj = f"{name} {version}"
        if show_version:
            click.echo(context.obj)
            context.exit()
        if context.invoked_subcommand is None:
            click.echo(context.get_help())

    flag = click.Option(["--version", "show_version"], is_flag=True)
    settings = dict(SETTINGS)
    return CommandGroup(
        name,
        commands={one.name: one for one in commands if one.name},
        params=[flag],
        callback=root,
        help=summary,
        invoke_without_command=True,
        context_settings=settings,
    )


def usage_in_one_line(error: click.ClickException) -> str:
    """Return what is wrong with a command line, and where its help is."""
    text = " ".join(error.format_message().split())
    if found := _EXTRA.fullmatch(text):
        files = [name for name in found[1].split() if Path(name).exists()]
        text += f": {files[0]} is a file; put a glob into quotes, as in --corpus 'wiki/*.jsonl'" if files else ""
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "miniend"
    return f"{text[:1].lower()}{text[1:].rstrip('.')}; see {path} --help"


def _wrapped(text: str, indent: int) -> list[str]:
    space = " " * indent
    return wrap(
        text, WIDTH, initial_indent=space, subsequent_indent=space, break_on_hyphens=False, break_long_words=False
    )
