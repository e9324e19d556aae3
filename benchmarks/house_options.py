"""Find where the options of the command line are declared, for `house.py`.

An option is a parameter of a function in `cli*.py` (or a folder `cli/`) that is annotated with typer's Option or
Argument. Its places are:

- that parameter;
- every keyword argument that hands it on to a configuration class (`*Config`, `*Options`, `*Settings`, `*Request`) or to
  another function of these files, under its own or another name;
- the parameters that receive it, and the fields in which it ends.

A field of a configuration class that no such parameter reaches is an option with one place: its command reads the
dataclass and declares nothing itself. Fields that hold another configuration are not options. The options that several
commands share count once, where they are declared.
"""

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePosixPath

from house_source import Source

DECLARES = ("Opt", "Option", "Argument")
CONFIGURATIONS = ("Config", "Options", "Settings", "Request", "OfEveryCommand")


@dataclass(frozen=True)
class Place:
    """One place in the source where the name of an option is written down."""

    file: str
    line: int
    has_default: bool = False
    has_help: bool = False
    is_field: bool = False


@dataclass
class Option:
    """One option of one command, and its places."""

    command: str
    name: str
    places: set[Place] = field(default_factory=set)

    def is_stated_twice(self, member: str) -> bool:
        """Tell whether both the CLI and a dataclass have it; `member` is `has_default` or `has_help`."""
        return len({place.is_field for place in self.places if getattr(place, member)}) > 1


@dataclass(frozen=True)
class _Function:
    file: str
    node: ast.FunctionDef

    @cached_property
    def parameters(self) -> dict[str, tuple[ast.arg, ast.expr | None]]:
        """Every parameter with its default, by name."""
        found = self.node.args
        plain = [*found.posonlyargs, *found.args]
        defaults = [None] * (len(plain) - len(found.defaults)) + found.defaults
        pairs = [*zip(plain, defaults, strict=True), *zip(found.kwonlyargs, found.kw_defaults, strict=True)]
        return {argument.arg: (argument, default) for argument, default in pairs}

    def place(self, name: str) -> Place:
        """Return where a parameter is declared."""
        argument, default = self.parameters[name]
        declared = _declaration(argument)
        has_help = declared is not None and any(keyword.arg == "help" for keyword in declared.keywords)
        return Place(self.file, argument.lineno, default is not None, has_help)


class Declarations:
    """The functions of the command line and the configuration classes of a checkout."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self._functions = {
            node.name: _Function(source.path, node)
            for source in sources
            if _is_command_line(source.path)
            for node in source.nodes
            if isinstance(node, ast.FunctionDef)
        }
        classes = [(source.path, node) for source in sources for node in source.nodes if isinstance(node, ast.ClassDef)]
        self._fields = {
            node.name: dict(_fields(file, node)) for file, node in classes if node.name.endswith(CONFIGURATIONS)
        }

    def options(self) -> list[Option]:
        """Return every option with its places: parameters first, then the fields that they do not reach."""
        found = []
        for function in self._functions.values():
            for name, (argument, _) in function.parameters.items():
                if _declaration(argument) is not None:
                    found.append(Option(function.node.name, name, set(self._trace(function, name))))
        reached = {place for option in found for place in option.places}
        for configuration, fields in self._fields.items():
            found += [Option(configuration, name, {at}) for name, at in fields.items() if at not in reached]
        return found

    def _trace(self, function: _Function, name: str) -> Iterator[Place]:
        """Yield the parameter and the places to which its function hands it on."""
        yield function.place(name)
        for call in (node for node in ast.walk(function.node) if isinstance(node, ast.Call)):
            target = _tail(call.func)
            if target not in self._fields and target not in self._functions:
                continue
            handed = [keyword for keyword in call.keywords if keyword.arg and _speaks_of(keyword, name)]
            yield from (Place(function.file, keyword.value.lineno) for keyword in handed)
            for received in {keyword.arg for keyword in handed}:
                yield from self._received(target, received)
            if name not in {keyword.arg for keyword in call.keywords} and name in self._fields.get(target, {}):
                yield self._fields[target][name]  # set in some other way, such as by `replace`

    def _received(self, target: str, name: str) -> Iterator[Place]:
        if name in self._fields.get(target, {}):
            yield self._fields[target][name]
        elif target in self._functions and name in self._functions[target].parameters:
            yield from self._trace(self._functions[target], name)


def _is_command_line(path: str) -> bool:
    first = PurePosixPath(path).parts[0]
    return first == "cli" or (first == path and first.startswith("cli"))


def _declaration(argument: ast.arg) -> ast.Call | None:
    """Return the call of typer's Option or Argument in a parameter's annotation, if there is one."""
    calls = ast.walk(argument.annotation) if argument.annotation else ()
    return next((node for node in calls if isinstance(node, ast.Call) and _tail(node.func) in DECLARES), None)


def _fields(file: str, node: ast.ClassDef) -> Iterator[tuple[str, Place]]:
    """Yield the fields of a configuration class by name. A docstring below a field, or `help=` in it, is its help."""
    for statement, following in zip(node.body, [*node.body[1:], None], strict=True):
        if not isinstance(statement, ast.AnnAssign) or not isinstance(statement.target, ast.Name):
            continue
        if ast.unparse(statement.annotation).split(" ")[0].endswith(CONFIGURATIONS):
            continue
        documented = isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant)
        keywords = {k.arg for call in ast.walk(statement) if isinstance(call, ast.Call) for k in call.keywords}
        place = Place(file, statement.lineno, statement.value is not None, documented or "help" in keywords, True)
        yield statement.target.id, place


def _speaks_of(keyword: ast.keyword, name: str) -> bool:
    return keyword.arg == name or name in {node.id for node in ast.walk(keyword.value) if isinstance(node, ast.Name)}


def _tail(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
