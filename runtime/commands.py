"""Commands of the command line, built from configuration dataclasses whose fields are options (`runtime/options.py`)."""

import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from .cores import choose_waiting
from .entries import Entry
from .environment import environment_lines
from .given import MissingOptionsError, Recorded, Settled, read_options_file, settle
from .help import INDENT, command_lines, row, wrapped
from .launcher import require_one_process
from .local_names import path_or_module
from .options import option
from .plugins import load_plugins
from .printing import Detail, Level, chosen_level, level, set_level, tell

SETTINGS: dict[str, Any] = {"help_option_names": ["-h", "--help"]}
_EXTRA = re.compile(r"Got unexpected extra arguments? \((.*)\)")
"""What click says of words that no option takes, such as the files of a glob that the shell has expanded."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OfEveryCommand:
    """The options that every command takes in addition to its own."""

    config: Path | None = option(
        None,
        section="advanced",
        metavar="PATH",
        shown="none",
        help="YAML file of options, by their names with underscores. Options on the command line win. Every output has such a "
        "file, so a run can be repeated.",
    )
    plugin: tuple[str, ...] = option(
        (),
        section="advanced",
        metavar="PATH_OR_NAME",
        shown="none",
        local=path_or_module,
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


class ConfiguredCommand(click.Command):
    """A command whose options are the fields of a configuration dataclass.

    `run` gets the configuration. Of an option that takes several values the configuration has the first, and `run` gets all of
    them by the name of the field. `more` is a second paragraph of the help; `without` names fields that are not offered; `ranks`
    says that several processes of a launcher may run it together, `computes` that it loads torch for long work. `recorded` finds
    what the output of the command knows already.
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
        recorded: Recorded | None = None,
    ) -> None:
        self.kind, self.run, self.examples, self.more = kind, run, examples, more
        self.ranks, self.computes, self.recorded = ranks, computes, recorded
        own = {name: entry for name, entry in Entry.all_of(kind).items() if name not in without}
        self.entries = {**own, **Entry.all_of(OfEveryCommand)}
        params = [*(entry.parameter() for entry in self.entries.values()), _help_all()]
        super().__init__(name, params=params, help=summary, context_settings=dict(SETTINGS), callback=self._called)

    def configure(self, context: click.Context, recorded: Recorded | None = None) -> Settled[Any]:
        """Return the configuration that a command line asks for; `recorded` finds what the output knows already.

        Plugins are imported first. Raises ConfigurationError for a plugin or a value that cannot work.
        """
        given = {
            name: value
            for name, value in context.params.items()
            if context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        }
        for name in OF_OUTPUT:
            given.pop(name, None)
        named = given.pop("config", None)
        file = None if named is None else read_options_file(named)
        load_plugins(given.pop("plugin", ()) or (file.plugins if file else ()))
        try:
            return settle(self.kind, given, file, recorded)
        except MissingOptionsError as error:
            raise click.UsageError(str(error), context) from None

    def _called(self, **_values: Any) -> int | None:
        if not self.ranks:
            require_one_process(f"miniend {self.name}")
        set_level(chosen_level(*(click.get_current_context().params[name] for name in OF_OUTPUT)))
        if self.computes:
            choose_waiting(partial(tell, err=True))
        if level() is Level.VERBOSE:
            for fact in environment_lines(str(click.get_current_context().obj)):
                tell(Detail(fact))
        settled = self.configure(click.get_current_context(), self.recorded)
        if (line := settled.line()) and os.environ.get("RANK", "0") == "0":
            tell(line, err=bool(getattr(settled.config, "as_json", False)))
        return self.run(settled.config, **settled.several)

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter, every: bool = False) -> None:
        """Write the help of this command: with `every`, all options are explained."""
        entries = list(self.entries.values())
        lines = command_lines(ctx.command_path, (self.help or "", self.more), entries, self.examples, every)
        formatter.write("\n".join(lines) + "\n")


def _help_all() -> click.Option:
    """Return the option that shows the whole help and ends."""

    def show(context: click.Context, _param: click.Parameter, value: bool) -> None:
        if value and not context.resilient_parsing:
            formatter = context.make_formatter()
            assert isinstance(context.command, ConfiguredCommand)
            context.command.format_help(context, formatter, every=True)
            click.echo(formatter.getvalue().rstrip("\n"))
            context.exit()

    return click.Option(
        ["--help-all"], is_flag=True, expose_value=False, is_eager=True, callback=show, help="Explain every option."
    )


class CommandGroup(click.Group):
    """The commands of one program; without a command it shows its help. `steps` are commands to type, in their order."""

    steps: tuple[str, ...] = ()

    def called_with(self, arguments: Sequence[str]) -> int:
        """Run one command line and return its status. Raises what the command raises; click's own `main` would catch signals."""
        try:
            with self.make_context(self.name, [*arguments]) as context:
                return int(self.invoke(context) or 0)
        except click.exceptions.Exit as ended:
            return ended.exit_code

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write what to type first, second and third, then the other commands."""
        lines = [f"Usage: {ctx.command_path} COMMAND [OPTIONS]", "", *wrapped(self.help or "", INDENT), ""]
        lines += ["What to type first, second, third:"]
        shown = set()
        for number, step in enumerate(self.steps, start=1):
            name = step.split()[1]
            shown.add(name)
            lines += ["", f"  {number}  {step}", *wrapped(self.commands[name].help or "", 5)]
        lines += ["", "At any time:"]
        for name, command in self.commands.items():
            if name not in shown:
                lines += row(f"  {name}", command.help or "", 15)
        path = ctx.command_path
        closing = (
            f"`{path} COMMAND --help` explains the options that matter first, `{path} COMMAND --help-all` every option. "
            f"`{path} --version` prints the version."
        )
        formatter.write("\n".join([*lines, "", *wrapped(closing, INDENT)]) + "\n")


def program(
    name: str, summary: str, version: str, commands: Iterable[click.Command], steps: tuple[str, ...]
) -> CommandGroup:
    """Return the group of all commands, with `--version`. `steps` are commands to type, in their order."""

    def root(show_version: bool) -> None:
        context = click.get_current_context()
        context.obj = f"{name} {version}"
        if show_version:
            click.echo(context.obj)
            context.exit()
        if context.invoked_subcommand is None:
            click.echo(context.get_help())

    flag = click.Option(["--version", "show_version"], is_flag=True, help="Print the version.")
    group = CommandGroup(
        name,
        commands={one.name: one for one in commands if one.name},
        params=[flag],
        callback=root,
        help=summary,
        invoke_without_command=True,
        context_settings=dict(SETTINGS),
    )
    group.steps = steps
    return group


def usage_in_one_line(error: click.ClickException) -> str:
    """Return what is wrong with a command line, and where its help is."""
    text = " ".join(error.format_message().split())
    if found := _EXTRA.fullmatch(text):
        files = [name for name in found[1].split() if Path(name).exists()]
        text += f": {files[0]} is a file; put a glob into quotes, as in --corpus 'wiki/*.jsonl'" if files else ""
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "miniend"
    return f"{text[:1].lower()}{text[1:].rstrip('.')}; see {path} --help"
