"""One option of a command: how click reads it, how the help writes it, and how a shell completes it."""

from dataclasses import Field, dataclass, fields
from inspect import get_annotations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from .options import REQUIRED, Option, Shape, default_text, flag_of, option_of, shapes_of
from .there import NOT_UTF8, is_utf8

if TYPE_CHECKING:
    TextType = click.ParamType[str]
else:
    TextType = click.ParamType  # which cannot be subscripted in older versions of click

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


class _Text(TextType):
    """A text. A shell completes the names that can be chosen, or files where the text may name one."""

    name = "text"

    def __init__(self, declared: Option) -> None:
        self._declared = declared

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return value

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Return what can follow the text typed so far."""
        if choices := self._declared.known_choices():
            return [CompletionItem(one) for one in choices if one.startswith(incomplete)]
        return [CompletionItem(incomplete, type="file")] if self._declared.local else []


_TYPES: "dict[type, click.ParamType[Any]]" = {int: click.INT, float: click.FLOAT, Path: _NamedPath(path_type=Path)}


@dataclass(frozen=True, slots=True)
class Entry:
    """One option of a command."""

    field: "Field[Any]"
    declared: Option
    shape: Shape
    flag: str

    @classmethod
    def all_of(cls, kind: type) -> "dict[str, Entry]":
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
        """Whether the option must be given, unless a file or the output has it."""
        return self.default == REQUIRED

    @property
    def opposite(self) -> str | None:
        """The flag that switches off what is on unless said otherwise."""
        return self.flag.replace("--", "--no-", 1) if self.field.default is True else None

    @property
    def shown_flag(self) -> str:
        """The flag that changes something."""
        return self.opposite or self.flag

    def parameter(self) -> click.Parameter:
        """Return what click parses. What is required is checked later, because a file or the output may have it."""
        name = self.field.name
        kind = _TYPES.get(self.shape.type) or _Text(self.declared)
        if self.declared.positional:
            return click.Argument([name], required=False, type=kind, metavar=self.flag)
        if self.shape.type is bool:
            flags = self.flag if self.opposite is None else f"{self.flag}/{self.opposite}"
            return click.Option([flags, name], is_flag=True, default=self.field.default, help=self.declared.help)
        return click.Option([self.flag, name], multiple=self.shape.repeatable, type=kind, help=self.declared.help)

    @property
    def written(self) -> str:
        """The option as a user types it: the flag, and a word for the value."""
        words = () if self.shape.type is bool or self.declared.positional else (self._metavar(),)
        return " ".join([self.shown_flag, *words])

    @property
    def allowed(self) -> str:
        """The choices, if there are any, and the default."""
        choices = self.declared.known_choices()
        return (f"one of {', '.join(choices)}; " if choices else "") + self.default

    def _metavar(self) -> str:
        return self.declared.metavar or _WORDS[self.shape.type]
