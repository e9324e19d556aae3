"""Write the pages of the reference that follow from the code: the command line, the comparison file and the Python interface.

    python docs/reference/generate.py

A test (`tests/docs/test_reference.py`) fails when one of them is stale.
"""

import ast
import inspect
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import miniend
from miniend import api
from miniend.api.spoken import spoken
from miniend.cache.cache import Cache, Split
from miniend.cache.examples import Example, Factors, SparseLogits
from miniend.cli import COMMANDS
from miniend.evaluation.config import EvaluateSettings
from miniend.evaluation.records import EvaluationResults
from miniend.recipes.compare.compared import Comparison
from miniend.recipes.compare.file.reading import OF_A_ROW, OWN_OF_A_CACHE
from miniend.recipes.estimate.estimate import Estimate
from miniend.recipes.filters.config import FilterSettings
from miniend.recipes.inspect.facts import CacheFacts
from miniend.recipes.judge_encoder.judge import EncoderFacts
from miniend.recipes.prune.sorted_teacher import SortedTeacher
from miniend.recipes.repair.verify import VerifyReport
from miniend.recipes.schedule.scheduled import Schedule
from miniend.runtime.commands import ConfiguredCommand, OfEveryCommand
from miniend.runtime.options import SECTIONS, default_text, names_of, option_of, options_of
from miniend.runtime.registry import Registry
from miniend.student_train.config import StepSettings, TrainSettings
from miniend.student_train.student import Student, Students
from miniend.teacher_dump.config import DumpSettings

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER))
from python_stub import PATH as STUB  # noqa: E402
from python_stub import stub  # noqa: E402

NOTICE = "<!-- Written by docs/reference/generate.py; change the code, and run it again. -->"
READING = ("open_cache", "Dataset")
"""The public names for code that reads a cache; the others extend MiniEnD."""
OPENED = (Cache, Split, Example, Factors, SparseLogits)
"""The classes of what `open_cache` returns."""
RESULTS = (
    Student,
    Students,
    SortedTeacher,
    Schedule,
    CacheFacts,
    EncoderFacts,
    VerifyReport,
    Estimate,
    EvaluationResults,
    Comparison,
)
"""The classes of what the functions return, beside an opened cache."""


def command_line() -> Iterator[str]:
    """Yield the lines of the page on the commands."""
    yield from ("# Command line", "", NOTICE, "")
    yield "`miniend COMMAND --help-all` prints what this page says. [Options](../guide/options.md) explains files of options,"
    yield "repeated options and completion. Every command ends with one of these exit statuses:"
    yield from ("", "| exit status | meaning |", "|---|---|")
    yield "| 0 | done |"
    yield "| 1 | `verify`: the cache is damaged; `demo`: its teacher did not learn |"
    yield "| 2 | an error, in one line that says what was expected, what was found and what to do |"
    yield "| 128 plus the number of a signal | stopped; run the same command again to go on |"
    for command in COMMANDS:
        yield from _command(command)
    yield from ("", "## Options of every command", "")
    yield from _options(OfEveryCommand, names_of(OfEveryCommand))


def _command(command: ConfiguredCommand) -> Iterator[str]:
    yield from ("", f"## {command.name}", "", _plain(command.help or ""))
    if command.more:
        yield from ("", _plain(command.more))
    yield from ("", "```", *(dedent(example) for example in command.examples), "```")
    own = [entry for name, entry in command.entries.items() if name not in names_of(OfEveryCommand)]
    for section in SECTIONS:
        entries = [entry for entry in own if entry.declared.section == section]
        if entries:
            yield from ("", f"**{section.capitalize()}**", "")
            for entry in sorted(entries, key=lambda entry: not entry.required):
                yield f"- `{entry.written}` ({_plain(entry.allowed)}): {_plain(entry.declared.help)}"


def comparison_file() -> Iterator[str]:
    """Yield the lines of the page on the options in a comparison's YAML file."""
    yield from ("# The comparison file", "", NOTICE, "")
    yield "The options below each key of the file that `miniend compare` reads."
    yield "[Compare](../guide/compare.md#keys-of-the-file) explains the keys."
    for heading, kind, names in (
        ("Below `dump`", DumpSettings, names_of(DumpSettings)),
        ("Below `train`, and each row and assistant", TrainSettings, OF_A_ROW),
        ("Below `continuation`", StepSettings, names_of(StepSettings)),
        ("Below `evaluate`, and each task", EvaluateSettings, names_of(EvaluateSettings)),
    ):
        yield from ("", f"## {heading}", "", *_options(kind, names, flags=False))
        if kind is DumpSettings:
            yield from (
                "",
                "Each cache below `caches` can set `teacher` and `filters`, and of these options only the following:",
                "",
            )
            yield ", ".join(f"`{name}`" for name in OWN_OF_A_CACHE) + "."
            yield from ("", "## Below `filters`, which is below `dump` or a cache", "")
            yield from _options(FilterSettings, names_of(FilterSettings), flags=False)


def _options(kind: type, names: Iterable[str], flags: bool = True) -> Iterator[str]:
    declared = {one.name: one for one in kind.__dataclass_fields__.values() if option_of(one) is not None}  # type: ignore[attr-defined]
    for name in names:
        option = options_of(kind)[name]
        shown = " ".join(filter(None, (f"--{name.replace('_', '-')}", option.metavar))) if flags else name
        choices = option.known_choices()
        listed = f"one of {', '.join(choices)}; " if choices else ""
        yield f"- `{shown}` ({_plain(listed + default_text(declared[name]))}): {_plain(option.help)}"


def python() -> Iterator[str]:
    """Yield the lines of the page on the Python interface."""
    yield from ("# Python", "", NOTICE, "")
    yield "`import miniend` is quick: the names below import their modules on first use."
    yield from ("", "## Commands as functions", "", "[In Python](../guide/python.md) shows them at work.")
    for name in api.__all__:
        yield from _command_function(name, getattr(api, name))
    yield from ("", "## Results", "", "Each prints as lines in a console, and as a table in a notebook.")
    for kind in RESULTS:
        yield from _class(kind, "miniend.Student" if kind is Student else kind.__name__)
    yield from ("", "## Read a cache", "", "[Reading a cache](../guide/reading.md) is a complete training loop.")
    for name in READING:
        yield from _public(name)
    yield from ("", "## An opened cache")
    for kind in OPENED:
        yield from _class(kind, kind.__name__)
    yield from ("", "## Extend MiniEnD", "", "[Extending MiniEnD](../extending.md) builds a module with each of these.")
    for name in miniend.__all__:
        if name not in (*READING, *api.__all__, "Student", "errors", "__version__"):
            yield from _public(name)
    yield from ("", "## Errors", "", "`miniend.errors` has what MiniEnD raises on purpose:", "")
    for error in vars(miniend.errors).values():
        if inspect.isclass(error):
            bases = ", ".join(base.__name__ for base in error.__bases__)
            yield f"- `{error.__name__}` ({bases}): {_text(error)}"
    yield from ("", "`miniend.__version__` is the version as a text.")


def _command_function(name: str, function: Any) -> Iterator[str]:
    keywords = function.keywords.values()
    required = [one.name if one.positional else f"{one.name}=..." for one in keywords if one.required]
    yield from (
        "",
        f"### miniend.{name}",
        "",
        "```python",
        f"miniend.{name}({', '.join([*required, '...'])})",
        "```",
        "",
    )
    yield from _docstring_above_keywords(function)
    for section in SECTIONS:
        own = [one for one in keywords if one.section == section]
        if own:
            yield from ("", f"**{section.capitalize()}**", "")
        for one in own:
            shown = spoken(one.shown, function.flags)
            yield f"- `{one.name}` (`{one.type}`; {_plain(shown)}): {_plain(spoken(one.help, function.flags))}"


def _docstring_above_keywords(function: Any) -> Iterator[str]:
    doc = (inspect.getdoc(function) or "").partition(f"\n\n{SECTIONS[0].capitalize()}:\n")[0]
    yield from (line if line.startswith("    ") else _escaped(line) for line in doc.split("\n"))


def _public(name: str) -> Iterator[str]:
    thing = getattr(miniend, name)
    if isinstance(thing, Registry):
        entries = ", ".join(f"`{one}`" for one in thing)
        yield from ("", f"### miniend.{name}", "", f"The registry of each {thing.what}: {entries}.")
        yield "`register(name)` decorates an entry, `add(name, entry)` adds one."
    elif inspect.isclass(thing):
        yield from _class(thing, f"miniend.{name}")
    else:
        yield from ("", f"### miniend.{name}", "", *_signature(name, thing), "", *_docstring(thing))


def _class(kind: type, title: str) -> Iterator[str]:
    yield from ("", f"### {title}", "", *_docstring(kind))
    own = {name: thing for name, thing in vars(kind).items() if not name.startswith("_")}
    fields = _fields(kind)
    lines = [f"- `{name}`" + (f": {_plain(text)}" if text else "") for name, text in fields.items()]
    for name, thing in own.items():
        if isinstance(thing, property) or type(thing).__name__ == "cached_property":
            lines.append(f"- `{name}`: {_text(thing)}")
        elif inspect.isfunction(getattr(thing, "__func__", thing)) and thing.__doc__:
            lines.append(f"- `{name}({', '.join(_parameters(thing))})`: {_text(thing)}")
    if lines:
        yield from ("", *lines)


def _fields(kind: type) -> dict[str, str]:
    """Return the annotated fields of a class, with the docstring below each or an empty text."""
    (tree,) = ast.parse(dedent(inspect.getsource(kind))).body
    assert isinstance(tree, ast.ClassDef)
    found = {}
    for field, below in zip(tree.body, [*tree.body[1:], None], strict=True):
        if isinstance(field, ast.AnnAssign):
            text = ast.literal_eval(below.value) if isinstance(below, ast.Expr) else ""
            found[ast.unparse(field.target)] = inspect.cleandoc(text)
    return {name: text for name, text in found.items() if not name.startswith("_")}


def _signature(name: str, thing: Any) -> Iterator[str]:
    yield from ("```python", f"miniend.{name}({', '.join(_parameters(thing))})", "```")


def _parameters(thing: Any) -> list[str]:
    """Return the parameters with their defaults, without types."""
    given = inspect.signature(getattr(thing, "__func__", thing)).parameters.values()
    return [str(one.replace(annotation=one.empty)) for one in given if one.name not in ("self", "cls")]


def _docstring(thing: Any) -> Iterator[str]:
    lines = (inspect.getdoc(thing) or "").split("\n")
    yield from (line if line.startswith("    ") else _escaped(line) for line in lines)


def _text(thing: Any) -> str:
    """Return the first paragraph of a docstring in one line."""
    return _plain((inspect.getdoc(thing) or "").split("\n\n")[0])


def _plain(text: str) -> str:
    return _escaped(" ".join(text.split()))


def _escaped(text: str) -> str:
    """Return a text that Markdown shows as it is, apart from its inline code."""
    parts = text.split("`")
    parts[::2] = [part.replace("<", "&lt;").replace("*", "\\*") for part in parts[::2]]
    return "`".join(parts)


PAGES = {"command-line.md": command_line, "comparison-file.md": comparison_file, "python.md": python}


def stale() -> list[str]:
    """Return the names of the pages that differ from what the code says."""
    return [name for name, page in PAGES.items() if _written(FOLDER / name) != "\n".join(page()) + "\n"]


def _written(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def main() -> None:
    """Write the pages, and the signatures of the functions."""
    STUB.write_text(stub(), encoding="utf-8")
    for name, page in PAGES.items():
        (FOLDER / name).write_text("\n".join(page()) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
