"""What docs/explain/architecture.md promises of the source: its files exist, and what belongs to one folder is in no other."""

import ast
import io
import re
import tokenize
from pathlib import Path

import pytest

import miniend

ROOT = Path(miniend.__file__).parent
PAGE = ROOT / "docs" / "explain" / "architecture.md"
FOLDERS = (
    "api",
    "cache",
    "data",
    "evaluation",
    "models",
    "recipes",
    "runtime",
    "signals",
    "storage",
    "student_train",
    "teacher_dump",
)
SOURCES = sorted([*ROOT.glob("*.py"), *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))])
MODULE_PATHS = re.compile(
    r"\b(encoder|decoder)\.(block|final_layer_norm)|EncDecAttention|DenseReluDense|lm_head|\.shared\b|\.layer\[\d\]\.\w*Attention"
)
"""How a T5 of transformers names its modules."""
PAIR = re.compile(r"""["'](input|target)["'],\s*["'](input|target)["']""")
FIELDS_OF_PAIRS = 'DEFAULT_FIELDS = {"span-corruption": ("text",), "pairs": ("input", "target"), "text": ("text",)}'
"""The fields of a JSON line, not token axes."""


PASSES_OVER = re.compile(
    r"\.r?glob\(|\biglob\(|os\.(?:walk|fwalk)\(|os\.path\.(?:l?exists|is(?:file|dir|link|mount))\("
)
"""Calls that answer "nothing there" for what cannot be read at the moment; runtime/listing.py and runtime/durable.py do not."""


def code_of(source):
    """A module's code without comments and docstrings, whose prose may name anything."""
    lines = source.splitlines(keepends=True)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column] + "\n"
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            lines[node.lineno - 1 : node.end_lineno] = ["\n"] * (node.end_lineno - node.lineno + 1)
    return "".join(lines)


def strangers(path, source):
    """What a module spells that belongs to another folder."""
    code = code_of(source).replace(FIELDS_OF_PAIRS, "")
    if not path.startswith("models/families/"):
        yield from (found[0] for found in MODULE_PATHS.finditer(code))
        yield from (found[0] for found in PAIR.finditer(code))
    if path.startswith("storage/") and not path.startswith("storage/documents/"):
        yield from re.findall(r"""["'](?:encoder|decoder|self|cross|query|key|value|logits)\b""", code)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_only_families_know_a_module_path_or_an_axis_of_t5_and_storage_knows_no_kind(path):
    """Each such place would have to be found again for the next family, and one of them would be forgotten."""
    assert list(strangers(path.relative_to(ROOT).as_posix(), path.read_text())) == []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("student_train/x.py", "y = model.encoder.block[0]"),
        ("evaluation/x.py", "y = {'lm_head.weight': 1}"),
        ("cache/x.py", "for axis in ('input', 'target'):\n    pass"),
        ("storage/x.py", "PLACES = {'query': 1}"),
        ("storage/x.py", "name = 'logits.order'"),
    ],
)
def test_a_stranger_would_be_found(path, source):
    """A check that reads the source wrongly passes for ever."""
    assert len(list(strangers(path, source))) == 1


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("models/families/t5.py", "y = model.encoder.block[0], ('input', 'target')"),
        ("student_train/x.py", '"""Of model.encoder.block."""\nx = 1  # lm_head'),
        ("storage/documents/plan.py", "name = 'logits'"),
    ],
)
def test_prose_and_the_right_folder_are_left_alone(path, source):
    """A check that finds fault with everything would be switched off."""
    assert list(strangers(path, source)) == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_line_is_printed_as_it_is(path):
    """Names in it are not ours. A function that takes `print` for its log passed ruff, and Python users got raw names."""
    if path.name != "printing.py":
        named = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Name)]
        assert [node.lineno for node in named if node.id == "print"] == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_nothing_takes_a_folder_that_cannot_be_listed_for_an_empty_one(path):
    """A moment's trouble of a network file system left files out of a corpus and columns out of a shard."""
    assert PASSES_OVER.findall(code_of(path.read_text())) == []


def test_every_file_that_the_page_names_is_there():
    """A walk past a door that was moved costs a newcomer the afternoon."""
    named = set(re.findall(r"`([a-z_./]+\.(?:py|md))`", PAGE.read_text())) - {"config.py", "__init__.py"}
    assert len(named) > 40
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_the_page_lists_the_entries_of_every_registry():
    """Whoever adds an entry finds the line to extend; whoever reads it finds what there is."""
    from miniend.models.layer_maps import LAYER_MAPS
    from miniend.student_train.objective import OBJECTIVES

    registries = {
        "FAMILIES": miniend.FAMILIES,
        "STARTS": miniend.STARTS,
        "LAYER_MAPS": LAYER_MAPS,
        "KINDS": miniend.KINDS,
        "TERMS": miniend.TERMS,
        "OBJECTIVES": OBJECTIVES,
    }
    rows = [line.split("|") for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    entries = {row[1].strip().strip("`"): row[4].strip() for row in rows if len(row) == 6}
    for name, registry in registries.items():
        assert entries[name] == ", ".join(registry)


@pytest.mark.parametrize("walk", ["Walk 1", "Walk 2", "Walk 3", "Walk 4"])
def test_a_walk_has_at_most_a_dozen_stops(walk):
    """More than a dozen files cannot be kept in mind."""
    section = PAGE.read_text().partition(f"## {walk}")[2].partition("\n## ")[0]
    stops = re.findall(r"^(\d+)\. ", section, flags=re.M)
    assert 5 <= len(stops) <= 12
