"""Count how a checkout of the package is built: sizes, types, layout, options, T5, English, the files a method touches.

    python benchmarks/house.py                    this checkout
    python benchmarks/house.py OLD NEW            two or more checkouts, in columns side by side

It reads the package's own modules: no tests, benchmarks, documents or examples. `__init__` and `__main__` count in one
row only. English is counted in docstrings, comments, messages, documents and README.md. The files that a method
touches are listed in `house_rows.yaml`. Exit status 1 if a list does not fit a checkout. Does not import the package.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import yaml
from house_options import Declarations
from house_source import (
    NOT_MODULES,
    T5_HOMES,
    Length,
    Source,
    axis_pairs,
    files_with_t5_paths,
    fullest_folder,
    functions,
    loose_annotations,
    quantile,
    read_sources,
    string_subscripts,
    target_lines,
)

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))

from support.idioms import IDIOMS, offences, python_files  # noqa: E402

SPECIFICATION = "storage/SPEC.md"


class Count(NamedTuple):
    """One row of the table for one checkout."""

    what: str
    value: str


def counts(root: Path) -> list[Count]:
    """Return all rows for one checkout."""
    files = python_files(root)
    if not files:
        raise SystemExit(f"{root}: expected a checkout of the package, found no Python files in it")
    sources = read_sources(root, files)
    return [
        *_sizes(sources),
        *_types(sources),
        *_layout(root, sources, files),
        *_options(sources),
        *_t5(sources),
        *_english(root),
        *_methods(root),
    ]


def _sizes(sources: Sequence[Source]) -> list[Count]:
    files, found = [Length(source.lines, source.path) for source in sources], functions(sources)
    return [
        Count("files", f"{len(files):,}"),
        Count("lines", f"{sum(length.lines for length in files):,}"),
        Count("file, median / p90 lines", _median_and_p90(files)),
        Count("file, longest", _longest(files)),
        Count("functions", f"{len(found):,}"),
        Count("function, median / p90 lines", _median_and_p90(found)),
        Count("function, longest", _longest(found)),
    ]


def _median_and_p90(lengths: Sequence[Length]) -> str:
    return f"{quantile(lengths, 0.5)} / {quantile(lengths, 0.9)}"


def _longest(lengths: Sequence[Length]) -> str:
    return f"{max(lengths).lines} ({max(lengths).name})"


def _types(sources: Sequence[Source]) -> list[Count]:
    return [
        Count("string subscripts", str(string_subscripts(sources))),
        Count("annotations with dict[str, Any], Mapping[str, Any] or Document", str(loose_annotations(sources))),
    ]


def _layout(top: Path, sources: Sequence[Source], files: Sequence[Path]) -> list[Count]:
    flat = sum(source.folder == "." for source in sources)
    special = [path for path in files if path.stem in NOT_MODULES]
    folder, most = fullest_folder(sources)
    return [
        Count("modules at the root", str(flat)),
        Count(
            "`__init__` and `__main__`",
            f"{sum(path.parent == top for path in special)} at the root, {len(special)} in all",
        ),
        Count("most modules flat in one folder", f"{most} ({folder})"),
    ]


def _options(sources: Sequence[Source]) -> list[Count]:
    options = Declarations(sources).options()
    if not options:
        raise SystemExit("expected options in cli*.py or in classes named *Config, found none; adapt house_options.py")
    most = max(options, key=lambda option: len(option.places))
    mean = sum(len(option.places) for option in options) / len(options)
    return [
        Count("options", str(len(options))),
        Count("places per option, mean", f"{mean:.2f}"),
        Count("places per option, most", f"{len(most.places)} ({most.name} of {most.command})"),
        Count("defaults in the CLI and in a dataclass", str(sum(o.is_stated_twice("has_default") for o in options))),
        Count("help texts in the CLI and in a dataclass", str(sum(o.is_stated_twice("has_help") for o in options))),
    ]


def _t5(sources: Sequence[Source]) -> list[Count]:
    return [
        Count(
            f"files with module paths of T5 outside {' and '.join(T5_HOMES)}", str(len(files_with_t5_paths(sources)))
        ),
        Count('lines with "target"', str(target_lines(sources))),
        Count('pairs ("input", "target")', str(axis_pairs(sources))),
    ]


def _english(root: Path) -> list[Count]:
    found = Counter(offence.idiom.name for offence in offences(root))
    rows = [Count(f"idiom: {idiom.name}", str(found[idiom.name])) for idiom in IDIOMS]
    return [*rows, Count("idioms, all", str(found.total()))]


def _methods(root: Path) -> list[Count]:
    return [Count(f"{name}: {row.what}", _shown(row, root)) for name, row in _rows(root).items()]


class _Row(NamedTuple):
    """A new method and the files of one layout that it touches and creates."""

    what: str
    touched: dict[str, str]
    created: dict[str, str]

    def misfits(self, root: Path) -> list[str]:
        """Return the touched files that the checkout does not have and the created ones that it has."""
        missing = [path for path in self.touched if not (root / path).is_file()]
        return missing + [path for path in self.created if (root / path).exists()]


def _rows(root: Path) -> dict[str, _Row]:
    """Return the rows of `house_rows.yaml` for the layout of a checkout: `new` where it has models/families."""
    layout = "new" if (root / "models" / "families").is_dir() else "old"
    found = yaml.safe_load((HERE / "house_rows.yaml").read_text(encoding="utf-8"))
    return {
        name: _Row(row["what"], row[layout]["touched"], row[layout].get("created", {})) for name, row in found.items()
    }


def _shown(row: _Row, root: Path) -> str:
    if not row.touched and not row.created:
        return "not listed yet"
    shown = str(len(row.touched) - (SPECIFICATION in row.touched))
    shown += f" + {len(row.created)} new" if row.created else ""
    shown += " + SPEC" if SPECIFICATION in row.touched else ""
    return shown + (f" ({len(row.misfits(root))} do not fit)" if row.misfits(root) else "")


def misfits(root: Path) -> list[str]:
    """Return a line for every listed file that does not fit the checkout."""
    return [
        f"house_rows.yaml, row {name}: {path} is listed as {'touched' if path in row.touched else 'created'}, "
        f"but {root.name} {'does not have it' if path in row.touched else 'has it'}; correct the list"
        for name, row in _rows(root).items()
        for path in row.misfits(root)
    ]


def table(roots: Sequence[Path]) -> list[str]:
    """Return the lines of a Markdown table with a column per checkout."""
    columns = [counts(root) for root in roots]
    rows = [["", *(root.name for root in roots)]]
    rows += [[row[0].what, *(count.value for count in row)] for row in zip(*columns, strict=True)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in rows]
    return [lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]]


def main() -> int:
    """Print the table for the checkouts in the arguments; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", type=Path, nargs="*", default=[HERE.parent])
    roots = [path.resolve() for path in parser.parse_args().checkout]
    print("\n".join(table(roots)))
    wrong = [line for root in roots for line in misfits(root)]
    print("\n".join(wrong), end="\n" if wrong else "", file=sys.stderr)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
