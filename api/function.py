"""Public functions whose keywords are the options of a command.

The configuration dataclass declares each option once. Here a function gets its signature, its documentation and its checks from
there. `__init__.pyi`, which docs/reference/generate.py writes, tells the same to editors and to mypy.
"""

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import MISSING, dataclass, fields
from difflib import get_close_matches
from functools import wraps
from pathlib import Path
from textwrap import indent, wrap
from threading import RLock
from types import NoneType
from typing import Any, Generic, TypeVar, get_args, get_origin, get_type_hints

from ..errors import ConfigurationError
from ..runtime.caller import caller_kept
from ..runtime.commands import OF_OUTPUT, OfEveryCommand
from ..runtime.given import MissingOptionsError, OptionsFile, Recorded, Settled, read_options_file, settle
from ..runtime.launcher import require_one_process
from ..runtime.options import SECTIONS, Option, default_text, names_of, option_of
from ..runtime.plugins import load_plugins
from ..runtime.printing import chosen_level, level_kept, reworded, tell
from ..runtime.progress import Log
from ..runtime.stopping import KEEP_NOTHING, interruptible
from .spoken import in_python, keywords_by_flag, spoken
from .values import NO_TYPES, fitted

ConfigT = TypeVar("ConfigT")
R = TypeVar("R")
FOR_PRINTING = "as_json"
"""An option of the command line, which prints; a function returns an object that has both forms."""
_working = RLock()
"""Held by the thread that is inside of a function: settings of the process cannot be kept for two at once."""


class _Recorded:
    """The default of a keyword that must be given unless the output knows it."""

    def __repr__(self) -> str:
        return "<recorded>"


RECORDED = _Recorded()


class _Text(str):
    """An annotation that shows itself without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


@dataclass(frozen=True, slots=True)
class Keyword:
    """One keyword of a function."""

    name: str
    type: str
    """Its type, as Python source."""
    default: Any
    """Its default; MISSING if it must be given, RECORDED if it must be given unless the output knows it."""
    shown: str
    """Its default in words."""
    help: str
    section: str
    hint: Any = None
    """The type that the option declares; None for a keyword that is not an option."""
    positional: bool = False

    @property
    def required(self) -> bool:
        """Whether it must be given."""
        return self.default is MISSING

    def parameter(self) -> inspect.Parameter:
        """Return it as the signature has it."""
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD if self.positional else inspect.Parameter.KEYWORD_ONLY
        default = inspect.Parameter.empty if self.required else self.default
        return inspect.Parameter(self.name, kind, default=default, annotation=_Text(self.type))


LOG = Keyword(
    "log",
    "Callable[[str], None] | None",
    None,
    "default: print",
    "A function that gets each line for people.",
    "advanced",
)
TOKENIZER = Keyword(
    "tokenizer",
    "PreTrainedTokenizerBase | None",
    None,
    "default: the one beside the teacher",
    "Tokenizer of a teacher that is a model in memory.",
    "essential",
)
MODEL = "str | Path | PreTrainedModel"


class Given(Generic[ConfigT]):
    """The keywords of one call, the file that `config` names, and how to find what the output knows already."""

    def __init__(
        self,
        name: str,
        kind: type[ConfigT],
        values: Mapping[str, Any],
        log: Log,
        file: OptionsFile | None,
        recorded: Recorded | None,
    ) -> None:
        self.name = name
        self.kind, self.values, self.log, self._file, self._recorded = kind, dict(values), log, file, recorded

    def config(self) -> ConfigT:
        """Return the configuration that they make."""
        return self.settled().config

    def settled(self) -> Settled[ConfigT]:
        """Return the configuration that they make, with all values of the options that can have several."""
        known = names_of(self.kind)
        values = {name: value for name, value in self.values.items() if name in known}
        try:
            settled = settle(self.kind, values, self._file, self._recorded)
        except MissingOptionsError as error:
            missing = error.missing
            raise ConfigurationError(
                f"{self.name}: expected {' and '.join(missing)}, found none; give {missing[0]}=..."
            ) from None
        if line := settled.line():
            self.log(line)
        return settled

    @contextmanager
    def models_lent(self, name: str, tokenizer: str | None = None) -> Iterator[None]:
        """Give a model in memory a path inside the block, if this keyword has one."""
        value, own = self.values.get(name), self.values.get(tokenizer or "")
        if value is None or isinstance(value, str):
            if own is not None:
                raise ConfigurationError(
                    f"tokenizer belongs to a model in memory, but {name} is {value!r}, which has its own; leave tokenizer out"
                )
            yield
            return
        from ..models.lent import lent

        with lent(value, own) as folder:
            self.values[name] = str(folder)
            yield


def of_options(
    kind: type[ConfigT],
    *,
    without: tuple[str, ...] = (),
    models: tuple[str, ...] = (),
    paths: tuple[str, ...] = (),
    several: tuple[str, ...] = (),
    more: tuple[Keyword, ...] = (LOG,),
    ranks: bool = False,
    works: bool = True,
    recorded: Recorded | None = None,
    found_by: str = "",
) -> Callable[[Callable[[Given[ConfigT]], R]], Callable[..., R]]:
    """Return a decorator that makes a function of `Given` one of the options of `kind`.

    `models` names keywords that take models in memory too, `paths` texts that are paths, `several` what takes several
    values. `ranks` says that several processes of a launcher may call it together, `works` that it computes for long and
    so keeps and guards the settings of the process. `recorded` finds what the output knows already, from
    the keyword `found_by`.
    """

    def decorate(run: Callable[[Given[ConfigT]], R]) -> Callable[..., R]:
        keywords = keywords_of(kind, (*without, FOR_PRINTING), models, paths, several, more, found_by)
        flags = {**keywords_by_flag(OfEveryCommand), **keywords_by_flag(kind)}

        @wraps(run)
        def called(*positional: Any, **given: Any) -> R:
            with ExitStack() as stack:
                stack.enter_context(in_python(flags))
                values = _bound(run.__name__, keywords, positional, given)
                log = values.pop("log", None) or tell
                stack.enter_context(level_kept(chosen_level(*(bool(values.pop(name, False)) for name in OF_OUTPUT))))
                if works:
                    stack.enter_context(_shortly(run.__name__))
                    stack.enter_context(_alone(run.__name__, ranks))
                named = values.pop("config", None)
                file = None if named is None else read_options_file(named)
                load_plugins(values.pop("plugin", ()) or (file.plugins if file else ()))
                return run(
                    Given(
                        run.__name__,
                        kind,
                        values,
                        lambda line: log(reworded(line, spoken(line, flags))),
                        file,
                        recorded,
                    )
                )

        called.__doc__ = documented(run.__doc__ or "", keywords, flags)
        called.__signature__ = inspect.Signature([one.parameter() for one in keywords.values()])  # type: ignore[attr-defined]
        called.keywords, called.flags = keywords, flags  # type: ignore[attr-defined]
        called.returns = run.__annotations__["return"]  # type: ignore[attr-defined]
        called.__annotations__ = {}
        del called.__wrapped__
        return called

    return decorate


@contextmanager
def _shortly(name: str) -> Iterator[None]:
    """Say what an interrupt leaves, and raise it without the frames of the package, which do not tell its reader anything."""
    try:
        yield
    except KeyboardInterrupt as stopped:
        again = "start over" if name in KEEP_NOTHING else "go on"
        tell(f"interrupted; call miniend.{name} in the same way to {again}")
        raise stopped.with_traceback(None) from None


@contextmanager
def _alone(name: str, ranks: bool) -> Iterator[None]:
    """Keep the caller's settings, and let an interrupt stop the work where it can be resumed."""
    if not _working.acquire(blocking=False):
        raise ConfigurationError(
            f"{name}: another thread of this process is inside of a function of MiniEnD; wait until it has returned, or start "
            "another process"
        )
    try:
        if not ranks:
            require_one_process(f"miniend.{name}")
        with caller_kept(), interruptible():
            yield
    finally:
        _working.release()


def keywords_of(
    kind: type,
    without: tuple[str, ...],
    models: tuple[str, ...],
    paths: tuple[str, ...],
    several: tuple[str, ...],
    more: tuple[Keyword, ...],
    found_by: str,
) -> dict[str, Keyword]:
    """Return the keywords of a function by name, those that must be given first."""
    found = [*more]
    for source in (kind, OfEveryCommand):
        hints = get_type_hints(source)
        for one in fields(source):
            declared = option_of(one)
            if declared is None or one.name in without:
                continue
            hint = hints[one.name]
            if one.name in several:
                hint = tuple.__class_getitem__((hint, ...))
            text = MODEL if one.name in models else _type_text(hint, declared, one.name in paths)
            text += " | None" if one.name in models and one.default is None else ""
            known = found_by and one.default is MISSING and one.name != found_by
            found.append(
                Keyword(
                    one.name,
                    text,
                    RECORDED if known else one.default,
                    f"default: what {found_by} records" if known else default_text(one),
                    f"False: {declared.help}" if one.default is True else _help_for(declared, text),
                    declared.section,
                    hint,
                    declared.positional,
                )
            )
    order = {section: place for place, section in enumerate(SECTIONS)}
    found.sort(key=lambda one: (not one.positional, not one.required, one.default is not RECORDED, order[one.section]))
    return {one.name: one for one in found}


def _help_for(declared: Option, text: str) -> str:
    """Return the help of an option for a keyword of this type: what the command line repeats is a sequence, or only one."""
    if "Sequence[" in text:
        return declared.help.replace("Repeatable", "One, or a sequence")
    return re.sub(r"\s*Repeatable[^.]*\.", "", declared.help)


def _type_text(hint: Any, declared: Option, path: bool) -> str:
    """Return a type as Python source, as wide as what `fitted` takes."""
    choices = declared.known_choices()
    first = [f"Literal[{', '.join(map(_quoted, choices))}]"] if choices is not None else []
    parts = dict.fromkeys([*first, *_parts(hint, path)])
    return " | ".join(sorted(parts, key="None".__eq__))


def _parts(hint: Any, path: bool) -> list[str]:
    """Return the types that a union of types takes, as Python source."""
    if get_origin(hint) in NO_TYPES:
        return [part for one in get_args(hint) for part in _parts(one, path)]
    if get_origin(hint) is tuple:
        inner = _parts(get_args(hint)[0], path)
        return [*inner, f"Sequence[{' | '.join(part for part in dict.fromkeys(inner) if part != 'None')}]"]
    if hint is Path or (hint is str and path):
        return ["str", "Path"]
    return ["None" if hint is NoneType else hint.__name__]


def _quoted(name: str) -> str:
    return f'"{name}"'


def _bound(
    name: str, keywords: Mapping[str, Keyword], positional: tuple[Any, ...], given: dict[str, Any]
) -> dict[str, Any]:
    """Return the values of a call. Raises ConfigurationError, in one line, for keywords that do not exist or are missing."""
    places = [one.name for one in keywords.values() if one.positional]
    if len(positional) > len(places):
        takes = f"{', '.join(places)} and keywords" if places else "keywords only"
        raise ConfigurationError(
            f"{name} takes {takes}, such as {_first(keywords)}=...; found {len(positional)} values without a keyword"
        )
    given = {**dict(zip(places, positional, strict=False)), **given}
    for one in given:
        if one not in keywords:
            near = get_close_matches(one, keywords, n=1, cutoff=0.5)
            advice = f"did you mean {near[0]}?" if near else f"help(miniend.{name}) lists them"
            raise ConfigurationError(f"{name} does not have the keyword {one}; {advice}")
    return {one: _value(keywords[one], value) for one, value in given.items()}


def _first(keywords: Mapping[str, Keyword]) -> str:
    return next(one.name for one in keywords.values() if not one.positional)


def _value(keyword: Keyword, value: Any) -> Any:
    """Return a value as its option has it; a model in memory stays what it is."""
    takes_models = "PreTrained" in keyword.type
    if keyword.hint is None or (takes_models and hasattr(value, "save_pretrained")):
        return value
    return fitted(keyword.name, value, keyword.hint, " or a model of transformers" if takes_models else "")


def documented(doc: str, keywords: Mapping[str, Keyword], flags: dict[str, str]) -> str:
    """Return a docstring with the keywords, by section."""
    lines = [inspect.cleandoc(doc)]
    for section in SECTIONS:
        own = [one for one in keywords.values() if one.section == section]
        if own:
            lines.append(f"\n{section.capitalize()}:")
            for one in own:
                text = spoken(f"{one.help} [{one.shown}]", flags)
                wrapped = "\n".join(wrap(text, 92, break_on_hyphens=False, break_long_words=False))
                lines += [f"    {one.name}: {one.type}", indent(wrapped, " " * 8)]
    return "\n".join(lines) + "\n"
