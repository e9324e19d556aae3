"""Find twelve idioms of another language in the English of the package, so that they can be replaced.

    python tests/support/idioms.py student_train cli.py     list the offences there; exit status 1 if there are any
    python tests/support/idioms.py                          print a table of the offences by folder and idiom

It reads docstrings, comments, messages and help texts (all strings that contain a space), README.md, and the Markdown files of
the package and of `docs`. It uses the standard library only, so any Python runs it.
"""

import argparse
import ast
import io
import re
import sys
import tokenize
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
BESIDE_THE_PACKAGE = {"tests", "benchmarks", "examples", "docs", "build", "dist"}
AROUND = 40
"""Characters of the sentence that a report shows on either side."""

_BE = r"(?:is|are|was|were|be|been|being)"
_NO = r"\s+no\b(?!\s+(?:longer\b|(?:more|less|\w+er)\s+than\b))"
"""The word `no`, except in `no longer`, `no more than`, `no larger than`."""


class Idiom(NamedTuple):
    """One idiom, how it is recognized, and what to write instead."""

    name: str
    pattern: re.Pattern[str]
    instead: str


def _idiom(name: str, pattern: str, instead: str) -> Idiom:
    return Idiom(name, re.compile(pattern, re.IGNORECASE), instead)


IDIOMS = (
    _idiom("there is no", rf"\bthere\s+(?:\w+\s+)?{_BE}{_NO}", "X does not have a Y"),
    _idiom("is no", rf"\b{_BE}{_NO}", "X is not a Y"),
    _idiom("has no", rf"\b(?:has|have|had|having){_NO}", "X does not have a Y"),
    _idiom("alone", r"\balone\b", "only"),
    _idiom("mend", r"\bmend(?:s|ed|ing)?\b", "fix"),
    _idiom("begin with", r"\b(?:begins?|began|begun|beginning)\s+with\b", "start from, start with"),
    _idiom("nothing is said of", r"\bnothing\s+(?:is|was)\s+said\s+of\b", "we do not report"),
    _idiom("lies", r"\b(?:lies?|lying)\b", "is"),
    _idiom("stands", r"\b(?:stands?|stood)\b(?!\s+(?:in\s+)?for\b)", "is"),
    _idiom("those of", r"\bthose\s+of\b", "the ... of"),
    _idiom("what of", r"\bwhat\s+of\b", "the part of the ... that"),
    _idiom("Of ...", r"\A\s*of\b", 'a sentence: "Time spent in the shard loop."'),
)
"""In the order of precedence: words that match `there is no` do not count as `is no`. The last is for docstrings."""
FRAGMENT = IDIOMS[-1]

ALLOWED = (
    *("left alone", "leave alone", "leave it alone", "leave them alone", "leaves it alone", "leaves them alone"),
    *("let alone", "or alone", "would have alone", "alone without"),
    "has no attribute",
)
"""Ordinary English: `alone` that means untouched or by itself, and the words of Python's own AttributeError."""
_ALLOWED = re.compile("|".join(rf"\b{phrase}\b".replace(" ", r"\s+") for phrase in ALLOWED), re.IGNORECASE)


class Offence(NamedTuple):
    """Where an idiom was found."""

    file: str
    line: int
    idiom: Idiom
    text: str

    def __str__(self) -> str:
        return f'{self.file}:{self.line}: "{self.idiom.name}" (write: {self.idiom.instead}): {self.text}'


class _Passage(NamedTuple):
    """A piece of English that starts on a line of its file."""

    text: str
    line: int
    lines: Sequence[str] = ()
    """The source lines, for a string whose text has other line breaks than its source."""
    docstring: bool = False


def python_files(root: Path = ROOT) -> list[Path]:
    """Return the package's own modules in order, at the root and in the packages below it."""
    return sorted([*root.glob("*.py"), *(path for folder in _packages(root) for path in folder.rglob("*.py"))])


def documents(root: Path = ROOT) -> list[Path]:
    """Return README.md and the Markdown files of the packages and of `docs`, in order."""
    below = (path for folder in (root / "docs", *_packages(root)) for path in folder.rglob("*.md"))
    return sorted([*root.glob("README.md"), *below])


def _packages(root: Path) -> list[Path]:
    folders = (path.parent for path in root.glob("*/__init__.py"))
    return [path for path in folders if path.name not in BESIDE_THE_PACKAGE and not path.name.startswith(".")]


def offences(root: Path = ROOT, names: Iterable[str] = ()) -> Iterator[Offence]:
    """Yield every offence in the named files and folders of a checkout, or in all of the package.

    Raises FileNotFoundError for a name that the checkout does not have.
    """
    files = [*python_files(root), *documents(root)]
    for name in list(names) or ["."]:
        wanted = root / name
        if not wanted.exists():
            raise FileNotFoundError(f"{name}: expected a file or folder of {root.name}, found nothing")
        for path in files:
            if path == wanted or wanted in path.parents:
                yield from offences_of_file(path, path.relative_to(root).as_posix())


def offences_of_file(path: Path, name: str) -> Iterator[Offence]:
    """Yield the offences of one Python or Markdown file in the order of its lines; `name` is what they call it."""
    source = path.read_text(encoding="utf-8")
    passages = _of_markdown(source) if path.suffix == ".md" else _of_python(source)
    found = [offence for passage in passages for offence in _offences_of(passage, name)]
    yield from sorted(found, key=lambda offence: offence.line)


def matches(text: str, docstring: bool = False) -> list[tuple[Idiom, re.Match[str]]]:
    """Return the idioms in a text, in its order; no word belongs to two of them."""
    taken = [found.span() for found in _ALLOWED.finditer(text)]
    accepted = []
    for idiom in IDIOMS:
        for found in idiom.pattern.finditer(text) if docstring or idiom is not FRAGMENT else ():
            if all(found.end() <= start or stop <= found.start() for start, stop in taken):
                taken.append(found.span())
                accepted.append((idiom, found))
    return sorted(accepted, key=lambda pair: pair[1].start())


def _offences_of(passage: _Passage, name: str) -> Iterator[Offence]:
    earlier: Counter[str] = Counter()
    for idiom, found in matches(passage.text, passage.docstring):
        line = _line_of(passage, idiom, found, earlier[idiom.name])
        earlier[idiom.name] += 1
        around = passage.text[max(0, found.start() - AROUND) : found.end() + AROUND]
        yield Offence(name, line, idiom, " ".join(around.split()))


def _line_of(passage: _Passage, idiom: Idiom, found: re.Match[str], earlier: int) -> int:
    if not passage.lines:
        return passage.line + passage.text.count("\n", 0, found.start())
    places = [number for number, line in enumerate(passage.lines) for _ in idiom.pattern.finditer(line)]
    return passage.line + (places[min(earlier, len(places) - 1)] if places else 0)


def _of_markdown(source: str) -> Iterator[_Passage]:
    """Yield the whole text, with the lines of code blocks left empty."""
    kept, inside = [], False
    for line in source.split("\n"):
        fence = line.lstrip().startswith("```")
        kept.append("" if fence or inside else line)
        inside ^= fence
    yield _Passage("\n".join(kept), 1)


def _of_python(source: str) -> Iterator[_Passage]:
    yield from _comments(source)
    yield from _strings(ast.parse(source), source.split("\n"))


def _comments(source: str) -> Iterator[_Passage]:
    """Yield every comment, those on consecutive lines as one."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    rows = [(token.start[0], token.string.lstrip("#")) for token in tokens if token.type == tokenize.COMMENT]
    for _, block in groupby(enumerate(rows), key=lambda pair: pair[1][0] - pair[0]):
        lines = [row for _, row in block]
        yield _Passage("\n".join(text for _, text in lines), lines[0][0])


def _strings(node: ast.AST, lines: Sequence[str]) -> Iterator[_Passage]:
    """Yield the docstrings, also the ones below attributes, and the other strings that contain a space."""
    if isinstance(node, ast.Expr) and _text_of(node.value) is not None:
        yield _Passage(str(_text_of(node.value)), node.lineno, docstring=True)
        return
    text = _text_of(node)
    if isinstance(node, ast.expr) and text is not None and " " in text:
        yield _Passage(text, node.lineno, lines[node.lineno - 1 : node.end_lineno])
    for child in ast.iter_child_nodes(node):
        if not (isinstance(node, ast.JoinedStr) and isinstance(child, ast.Constant)):
            yield from _strings(child, lines)


def _text_of(node: ast.AST) -> str | None:
    """Return the text of a string, with {} for what an f-string fills in; None for anything else."""
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def by_folder(found: Iterable[Offence]) -> dict[str, Counter[str]]:
    """Return by folder, the root as `.`, how often each idiom was found."""
    counts: dict[str, Counter[str]] = {}
    for offence in found:
        folder = offence.file.split("/")[0] if "/" in offence.file else "."
        counts.setdefault(folder, Counter())[offence.idiom.name] += 1
    return dict(sorted(counts.items()))


def table(counts: dict[str, Counter[str]]) -> Iterator[str]:
    """Yield the lines of a Markdown table: a row per folder, a column per idiom, sums at the end."""
    names = [idiom.name for idiom in IDIOMS]
    yield f"| folder | {' | '.join(names)} | all |"
    yield f"|---|{'---:|' * (len(names) + 1)}"
    for folder, row in [*counts.items(), ("all", sum(counts.values(), Counter()))]:
        yield f"| {folder} | {' | '.join(str(row[name]) for name in names)} | {row.total()} |"


def main(arguments: Sequence[str], root: Path = ROOT) -> int:
    """List the offences of the named files and folders, or the table of all; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="files and folders of the package, relative to its root")
    names = parser.parse_args(arguments).names
    try:
        found = list(offences(root, names))
    except FileNotFoundError as error:
        parser.error(str(error))
    print("\n".join(map(str, found) if names else table(by_folder(found))))
    if names:
        print(f"{len(found)} offences")
    return int(bool(names and found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
