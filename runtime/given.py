"""What is asked, and what is recorded, become one configuration: for the command line, for Python, and for a file of options.

An option has the value that is given; else the one of the file that `--config` names; else the one that the output directory
records; else its default. `settle` takes dictionaries by the names of the fields, so that every caller uses the same rules.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, Generic

from ..errors import ConfigurationError, shortened
from .local_names import is_lost, path
from .options import SECTIONS, ConfigT, Option, flag_of, names_of, options_of
from .records import PLUGIN
from .there import what_is_there
from .typed import typed_options

Values = Mapping[str, Any]
SHOWN = 4
"""The most options of a record that its line names if none of them is essential."""


class MissingOptionsError(ConfigurationError):
    """Options that must be given, and that nothing records."""

    def __init__(self, message: str, missing: Sequence[str]) -> None:
        super().__init__(message)
        self.missing = missing
        """The names of their fields."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """The options that an output directory knows."""

    source: str
    """The file that holds them, or what else does."""
    values: Values
    unsaid: Mapping[str, str] = field(default_factory=dict)
    """Why it cannot say an option, by the option's name."""


Recorded = Callable[[Values], Record | None]
"""A function that finds the record of an output from the values that are given; None if there is none yet."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OptionsFile:
    """The options of a file, as YAML reads them."""

    path: Path
    values: Values
    plugins: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Settled(Generic[ConfigT]):
    """A configuration, and where its values come from."""

    config: ConfigT
    several: dict[str, tuple[Any, ...]]
    """All values of the options of which the configuration has only the first."""
    taken: dict[str, Any]
    """The values that come from the record and are not the defaults."""
    source: str = ""
    """The record that they come from."""

    def line(self) -> str | None:
        """Return a line on what the record says; None if it does not say anything that was not given."""
        if not self.taken:
            return None
        kind = type(self.config)
        declared = options_of(kind)
        essential = [name for name in declared if name in self.taken and declared[name].section == SECTIONS[0]]
        named = essential or [*self.taken][:SHOWN]
        if len(self.taken) - len(named) == 1:  # the words for one more are as long as the option
            named = [*named, *(name for name in self.taken if name not in named)]
        shown = [_typed_as(kind, name, self.taken[name]) for name in named]
        more = len(self.taken) - len(named)
        shown += [f"and {more} more options"] if more else []
        return f"as {self.source} says: {' '.join(shown)}"


def settle(
    kind: type[ConfigT], given: Values, file: OptionsFile | None = None, recorded: Recorded | None = None
) -> Settled[ConfigT]:
    """Return the configuration of class `kind` from the values that are given, by the names of the fields.

    `file` holds the options of `--config`, and `recorded` finds what the output knows. Raises MissingOptionsError, which names
    them, and ConfigurationError for a value that cannot work or a recorded path where nothing is any more.
    """
    asked = {**(_from_file(kind, file) if file else {}), **typed_options(kind, given, names_of(kind), several=True)}
    record = recorded(asked) if recorded else None
    known = _from_record(kind, record, asked) if record else {}
    values = {**known, **asked}
    _require_all(kind, values, record)
    declared = options_of(kind)
    several = {name: values.get(name, ()) for name, option in declared.items() if option.several}
    first = {name: many[0] for name, many in several.items() if many}
    config = _built(kind, {**values, **first}, given, file, record if known else None)
    defaults = {one.name: one.default for one in fields(kind)}  # type: ignore[arg-type]
    plain = {**known, **{name: first[name] for name in several if name in known and len(known[name]) == 1}}
    taken = {name: known[name] for name in known if plain[name] != defaults[name]}
    return Settled(config=config, several=several, taken=taken, source=record.source if record else "")


def read_options_file(path: Path) -> OptionsFile:
    """Return the options of a YAML file. Raises ConfigurationError for a file that is not a mapping."""
    from .yaml_file import read_yaml

    try:
        values = read_yaml(path, "a file of options")
    except ConfigurationError as error:
        raise ConfigurationError(f"--config {error}") from None
    plugins = values.pop(PLUGIN, [])
    if isinstance(plugins, str):
        plugins = [plugins]
    if not isinstance(plugins, list) or not all(isinstance(one, str) for one in plugins):
        raise ConfigurationError(
            f"{path}: {PLUGIN} should be a text or a list of such, found {shortened(repr(plugins))}"
        )
    return OptionsFile(path=path, values=values, plugins=tuple(plugins))


def _from_file(kind: type, file: OptionsFile) -> dict[str, Any]:
    try:
        return typed_options(kind, file.values, names_of(kind), several=True)
    except ConfigurationError as error:
        raise ConfigurationError(f"{_place(file, str(error))}: {error}") from None


def _place(file: OptionsFile, message: str) -> str:
    """Return the file with the line of the key that a message is about."""
    from .yaml_file import line_of

    unknown = re.match("unknown option '([^']*)'", message)
    line = line_of(file.path, unknown[1] if unknown else message)
    return f"{file.path}{'' if line is None else f', line {line}'}"


def _from_record(kind: type, record: Record, asked: Values) -> dict[str, Any]:
    """Return what the record says of the options that are not given. Plugins must be given: they are code that runs."""
    values = {name: value for name, value in record.values.items() if name not in asked and name != PLUGIN}
    try:
        known = typed_options(kind, values, names_of(kind), several=True)
    except ConfigurationError as error:
        raise ConfigurationError(
            f"{record.source}: {error}. Correct the file, or remove it and give all options"
        ) from None
    declared = options_of(kind)
    for name, value in known.items():
        for one in value if isinstance(value, tuple) else (value,):
            _require_there(kind, name, declared[name], one, record)
    return known


def _require_there(kind: type, name: str, declared: Option, value: Any, record: Record) -> None:
    """Raise ConfigurationError, which names the option to give, for a recorded path where nothing is any more."""
    form = declared.local or (path if isinstance(value, Path) else None)
    if form is not None and value is not None and is_lost(form, str(value)):
        flag, parts = flag_of(kind, name), form(str(value))
        there = what_is_there(Path(parts[1])) if parts else ""
        raise ConfigurationError(
            f"{record.source} says {flag} {value}, and nothing is there ({there}); if it has moved, give {flag}"
        )


def _require_all(kind: type, values: Values, record: Record | None) -> None:
    missing = [one.name for one in fields(kind) if one.default is MISSING and one.name not in values]
    if not missing:
        return
    flags = " and ".join(f"'{flag_of(kind, name)}'" for name in missing)
    reasons = [record.unsaid[name] for name in missing if name in record.unsaid] if record else []
    text = f"missing option{'s' if len(missing) > 1 else ''} {flags}"
    raise MissingOptionsError(f"{text}: {'; '.join(reasons)}" if reasons else text, missing)


def _built(
    kind: type[ConfigT], values: Values, given: Values, file: OptionsFile | None, record: Record | None
) -> ConfigT:
    """Return the configuration. An error about an option that was not typed names where its value is."""
    try:
        return kind(**values)
    except ConfigurationError as error:
        names = {flag_of(kind, name): name for name in names_of(kind)}
        flag = re.match(r"--[a-z][\w-]*", str(error))
        name = names.get(flag[0]) if flag else None
        if name is None or name in given:
            raise
        if file and name in file.values:
            raise ConfigurationError(f"{_place(file, name)}: {error}") from None
        if record and name in record.values:
            raise ConfigurationError(f"{record.source}: {error}") from None
        raise


def _typed_as(kind: type, name: str, value: Any) -> str:
    """Return an option as a user would type it."""
    if options_of(kind)[name].positional:
        return shortened(str(value))
    flag = flag_of(kind, name)
    if value is False:
        return flag.replace("--", "--no-", 1)
    many = value if isinstance(value, tuple) else (value,)
    return " ".join(flag if one is True else f"{flag} {shortened(_worded(one))}" for one in many)


def _worded(value: Any) -> str:
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return f"'{text}'" if " " in text or "*" in text else text
