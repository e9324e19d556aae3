"""Options, each declared once: a field of a configuration dataclass says default, choices, help and section of an option.

The command line (`runtime/commands.py`), the YAML file of `compare` and the checks of the dataclass itself read the same field:

    @dataclass(frozen=True, kw_only=True, slots=True)
    class TrainSettings:
        steps: int = option(10_000, section="essential", least=1, identity=True, help="Optimizer steps.")

        def __post_init__(self) -> None:
            check(self)
"""

import math
import types
from collections.abc import Callable, Collection, Iterable
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from ..errors import ConfigurationError
from .local_names import Form
from .registry import OR_A_PLUGIN

SECTIONS = ("essential", "corpus", "fidelity", "training", "layers", "speed", "advanced")
"""The sections of a command's help, in their order: what users change daily comes first."""
Choices = Iterable[str] | Callable[[], Iterable[str]]
"""The names that an option can take, or a function that returns them when they are needed: a plugin may have added some."""
ConfigT = TypeVar("ConfigT")
REQUIRED = "required"
"""The default text of an option that must be given."""
LARGEST = 10**18
"""What a whole number must be below: torch's seeds and counters have 63 bits."""
_KEY = "option"


@dataclass(frozen=True, kw_only=True, slots=True)
class Option:
    """Everything that a field says of its option, apart from type and default."""

    help: str
    section: str
    choices: Choices | None = None
    least: float | None = None
    """The smallest number that makes sense."""
    metavar: str | None = None
    """The word for the value in the help, where the type's own word (NAME, N, NUMBER, PATH) says too little."""
    flag: str | None = None
    """The option on the command line, where it is not the name of the field."""
    shown: str | None = None
    """The default in words, where the field's own says too little."""
    positional: bool = False
    """Whether the command line takes the value without a flag."""
    several: bool = False
    """Whether the command line takes several values, of which each configuration has one."""
    identity: bool | str = False
    """Whether the value identifies a run; a text names the property that has the value in force."""
    local: Form | None = None
    """How a text may name something on this machine, for an option that is not simply a path."""
    once: bool = False
    """Whether the value is of one command and not of its output, such as where the output is; it is not recorded there."""
    marks: frozenset[str] = frozenset()
    """The groups of options that this one belongs to; their names are defined beside the dataclass."""

    def known_choices(self) -> tuple[str, ...] | None:
        """Return the names that can be chosen, or None where the option takes any value."""
        choices = self.choices() if callable(self.choices) else self.choices
        return None if choices is None else tuple(choices)

    def listed(self) -> str:
        """Return the names that can be chosen, for a message."""
        names = f"one of {', '.join(self.known_choices() or ())}"
        return f"{names}, {OR_A_PLUGIN}" if callable(self.choices) else names


def option(
    default: Any = MISSING,
    *,
    help: str,
    section: str,
    choices: Choices | None = None,
    least: float | None = None,
    metavar: str | None = None,
    flag: str | None = None,
    shown: str | None = None,
    positional: bool = False,
    several: bool = False,
    identity: bool | str = False,
    local: Form | None = None,
    once: bool = False,
    marks: Iterable[str] = (),
) -> Any:
    """Return a dataclass field that declares an option; one without a default must be given. See `Option` for the rest."""
    if section not in SECTIONS:
        raise TypeError(f"section {section!r}: expected one of {', '.join(SECTIONS)}")
    if default in (None, (), "") and shown is None:
        raise TypeError(f"the option {help!r} needs `shown`: its default {default!r} tells a reader nothing")
    declared = Option(
        help=help,
        section=section,
        choices=choices,
        least=least,
        metavar=metavar,
        flag=flag,
        shown=shown,
        positional=positional,
        several=several,
        identity=identity,
        local=local,
        once=once,
        marks=frozenset(marks),
    )
    return field(default=default, metadata={_KEY: declared})


def option_of(declared: "Field[Any]") -> Option | None:
    """Return what a field declares, or None for a field that is not an option."""
    declaration: Option | None = declared.metadata.get(_KEY)
    return declaration


def options_of(kind: Any) -> dict[str, Option]:
    """Return the options of a configuration, or of its class, by the names of their fields."""
    return {one.name: declared for one in fields(kind) if (declared := option_of(one)) is not None}


def flag_of(kind: Any, name: str) -> str:
    """Return a field's option as the command line writes it."""
    declared = options_of(kind)[name]
    if declared.positional:
        return declared.metavar or name.upper()
    return declared.flag or f"--{name.replace('_', '-')}"


def marked(kind: Any, mark: str) -> tuple[str, ...]:
    """Return the names of the fields that have a mark."""
    return tuple(name for name, declared in options_of(kind).items() if mark in declared.marks)


def names_of(kind: Any) -> tuple[str, ...]:
    """Return the names of all options of a class."""
    return tuple(options_of(kind))


def changed_from_defaults(config: Any) -> dict[str, Any]:
    """Return the values that are not the defaults, by field."""
    values = {one.name: getattr(config, one.name) for one in fields(config)}
    return {one.name: values[one.name] for one in fields(config) if values[one.name] != one.default}


def identity_of(config: Any, without: Collection[str] = ()) -> dict[str, Any]:
    """Return the values that identify a run, by field, or by the property that has the value in force.

    `without` names fields to leave out.
    """
    named = {
        name: name if declared.identity is True else declared.identity
        for name, declared in options_of(config).items()
        if declared.identity and name not in without
    }
    return {str(key): getattr(config, str(key)) for key in named.values()}


def typed_by_identity(kind: Any, flags: bool = True) -> dict[str, str]:
    """Return what the user types for each member of `identity_of`: a flag of the command line, or the key in a YAML file."""
    typed = {}
    for one in fields(kind):
        declared = option_of(one)
        if declared is not None and declared.identity:
            flag = flag_of(kind, one.name)
            flag = flag.replace("--", "--no-", 1) if one.default is True else flag
            typed[one.name if declared.identity is True else declared.identity] = flag if flags else one.name
    return typed


def completed(kind: type[ConfigT], settings: Any, **more: Any) -> ConfigT:
    """Return a configuration of `kind` with the values of `settings`, as far as it has such fields, and with `more`."""
    known = {one.name for one in fields(kind)}  # type: ignore[arg-type]
    return kind(**{one.name: getattr(settings, one.name) for one in fields(settings) if one.name in known} | more)


def require(condition: bool, message: str) -> None:
    """Raise ConfigurationError with this message unless the condition holds."""
    if not condition:
        raise ConfigurationError(message)


def check(config: Any) -> None:
    """Raise ConfigurationError for the first value that is empty, not finite, not one of its choices or below its least."""
    for name, declared in options_of(config).items():
        value = getattr(config, name)
        for one in value if isinstance(value, tuple) else (value,):
            if one is not None:
                _check_value(config, name, declared, one)


def _check_value(config: Any, name: str, declared: Option, value: Any) -> None:
    flag, choices = flag_of(config, name), declared.known_choices()
    require(value != "", f"{flag}: expected a value, found an empty text; give one, or leave the option out")
    require(choices is None or value in choices, f"{flag} {value!r}: expected {declared.listed()}")
    require(not isinstance(value, float) or math.isfinite(value), f"{flag}: expected a finite number, found {value}")
    require(
        not isinstance(value, int) or abs(value) < LARGEST,
        f"{flag}: expected a number of at most 18 digits, found more",
    )
    least = declared.least
    require(least is None or value >= least, f"{flag} must be at least {least}, not {value}")


@dataclass(frozen=True, slots=True)
class Shape:
    """The type of an option: of one value, and whether it takes several."""

    type: type
    repeatable: bool


def shapes_of(kind: type) -> dict[str, Shape]:
    """Return the shape of every option of a class, by the names of the fields."""
    hints = get_type_hints(kind)
    return {name: _shape(hints[name], declared.several) for name, declared in options_of(kind).items()}


def _shape(hint: Any, several: bool) -> Shape:
    """Return the shape of a type; of `str | Path` and the like, the first one counts."""
    parts = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    shapes = [_shape(get_args(one)[0], True) if get_origin(one) is tuple else Shape(one, several) for one in parts]
    kinds = [one for one in shapes if one.type is not types.NoneType]
    return Shape(kinds[0].type, any(one.repeatable for one in kinds))


def default_text(declared: "Field[Any]") -> str:
    """Return the default of an option in words, without which it must be given."""
    declaration, default = option_of(declared), declared.default
    if default is MISSING:
        return REQUIRED
    if declaration is not None and declaration.shown is not None:
        return f"default: {declaration.shown}"
    if isinstance(default, bool):
        return "default: " + ("on" if default else "off")
    return "default: " + (f"{default:g}" if isinstance(default, float) else str(default))
