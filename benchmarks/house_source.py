"""Read the source of one checkout and count in it by `ast` and `tokenize`, for `house.py`."""

import ast
import io
import math
import re
import tokenize
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

LOOSE = re.compile(r"\b(?:(?:dict|Dict|Mapping|MutableMapping)\[str, Any\]|Document\b)")
"""A type that promises some JSON object and does not name its members."""
T5_PATH = re.compile(
    r"SelfAttention|EncDecAttention|DenseReluDense|relative_attention_bias|final_layer_norm"
    r"|\blm_head\b|\.shared\b|\bshared\.weight\b|coder\\?\.block\b|\.block\b(?!\()"
)
"""The name of a module inside transformers' T5, as an attribute or in a string."""
T5_HOMES = ("models/families/", "signals/t5.py")
"""Where such names belong: in the new layout the families, in the old one the facts about T5."""
AXES = ("input", "target")
NOT_MODULES = ("__init__", "__main__")


@dataclass(frozen=True)
class Source:
    """One module of the package."""

    path: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        """The module as parsed."""
        return ast.parse(self.text)

    @cached_property
    def nodes(self) -> list[ast.AST]:
        """Every node of the tree."""
        return list(ast.walk(self.tree))

    @property
    def lines(self) -> int:
        """The number of lines, blank ones included."""
        return len(self.text.splitlines())

    @property
    def folder(self) -> str:
        """The folder that holds the file, `.` for the root."""
        return Path(self.path).parent.as_posix()


@dataclass(frozen=True, order=True)
class Length:
    """How many lines something with a name has."""

    lines: int
    name: str


def read_sources(root: Path, files: Sequence[Path]) -> list[Source]:
    """Return the files of a checkout without `__init__` and `__main__`, which hold a docstring and a few imports."""
    chosen = [path for path in files if path.stem not in NOT_MODULES]
    return [Source(path.relative_to(root).as_posix(), path.read_text(encoding="utf-8")) for path in chosen]


def functions(sources: Sequence[Source]) -> list[Length]:
    """Return the length of every function and method from `def` to its last line; an inner function counts again."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return [
        Length(node.end_lineno - node.lineno + 1, f"{node.name} in {source.path}")
        for source in sources
        for node in source.nodes
        if isinstance(node, kinds)
    ]


def quantile(lengths: Sequence[Length], share: float) -> int:
    """Return the smallest length that at least this share of all do not exceed."""
    ordered = sorted(length.lines for length in lengths)
    return ordered[math.ceil(share * len(ordered)) - 1]


def string_subscripts(sources: Sequence[Source]) -> int:
    """Return how often something is indexed by a literal string, to read or to write it."""
    slices = (node.slice for source in sources for node in source.nodes if isinstance(node, ast.Subscript))
    return sum(isinstance(index, ast.Constant) and isinstance(index.value, str) for index in slices)


def loose_annotations(sources: Sequence[Source]) -> int:
    """Return the number of annotations (parameters, results, variables, fields) that contain a LOOSE type."""
    return sum(bool(LOOSE.search(ast.unparse(found))) for source in sources for found in _annotations(source))


def _annotations(source: Source) -> Iterator[ast.expr]:
    for node in source.nodes:
        for member in ("annotation", "returns"):
            found = getattr(node, member, None)
            if isinstance(found, ast.expr):
                yield found


def fullest_folder(sources: Sequence[Source]) -> tuple[str, int]:
    """Return the folder with the most modules flat in it, and how many."""
    return Counter(source.folder for source in sources).most_common(1)[0]


def files_with_t5_paths(sources: Sequence[Source]) -> list[str]:
    """Return the files outside T5_HOMES whose code spells a T5_PATH; comments and docstrings do not count."""
    return [
        source.path
        for source in sources
        if not source.path.startswith(T5_HOMES) and T5_PATH.search(without_english(source))
    ]


def without_english(source: Source) -> str:
    """Return the code of a module: comments and docstrings are blanked."""
    lines = source.text.split("\n")
    for node in source.nodes:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            for row in range(node.lineno - 1, node.end_lineno):
                lines[row] = ""
    for token in tokenize.generate_tokens(io.StringIO(source.text).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column]
    return "\n".join(lines)


def target_lines(sources: Sequence[Source]) -> int:
    """Return the number of lines that spell the literal "target"."""
    return len({(source.path, node.lineno) for source in sources for node in source.nodes if _is(node, AXES[1])})


def axis_pairs(sources: Sequence[Source]) -> int:
    """Return how often "input" comes right before "target" in a tuple, a list or the arguments of a call."""
    return sum(_is(a, AXES[0]) and _is(b, AXES[1]) for row in _rows(sources) for a, b in pairwise(row))


def _rows(sources: Sequence[Source]) -> Iterator[list[ast.expr]]:
    for source in sources:
        for node in source.nodes:
            if isinstance(node, ast.Tuple | ast.List | ast.Set):
                yield node.elts
            elif isinstance(node, ast.Call):
                yield node.args


def _is(node: ast.AST, value: str) -> bool:
    return isinstance(node, ast.Constant) and node.value == value
