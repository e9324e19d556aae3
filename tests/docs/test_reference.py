"""The pages of the reference say what the code says."""

import importlib.util

import pytest

import miniend
from miniend.cli import COMMANDS
from miniend.recipes.compare.file.reading import KEYS
from miniend.runtime.commands import OfEveryCommand
from miniend.runtime.options import names_of
from support.pages import ROOT

REFERENCE = ROOT / "docs" / "reference"


@pytest.fixture(scope="module")
def generate():
    """The script that writes the pages."""
    spec = importlib.util.spec_from_file_location("generate", REFERENCE / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["command-line.md", "comparison-file.md", "python.md"])
def test_a_page_that_follows_from_the_code_is_not_stale(generate, name):
    """Run `python docs/reference/generate.py` after a change of an option or of a public docstring."""
    assert (REFERENCE / name).read_text(encoding="utf-8") == "\n".join(generate.PAGES[name]()) + "\n"


OF_ALL = ("help_all", *names_of(OfEveryCommand))
"""The options that are listed once, for all commands."""


def test_the_command_line_page_has_every_option_of_every_command():
    """The script could forget one; click cannot."""
    page = (REFERENCE / "command-line.md").read_text(encoding="utf-8")
    for command in COMMANDS:
        section = page.partition(f"\n## {command.name}\n")[2].partition("\n## ")[0]
        for one in command.params:
            flags = (*one.opts, *one.secondary_opts) if one.name not in OF_ALL else ()
            shown = [one.metavar] if one.param_type_name == "argument" else flags
            assert any(f"- `{flag}" in section for flag in shown) or not flags, (command.name, one.name)


def test_the_python_page_has_every_public_name():
    """What a user may import is what a user can look up."""
    page = (REFERENCE / "python.md").read_text(encoding="utf-8")
    assert [name for name in miniend.__all__ if f"miniend.{name}" not in page] == []


def test_the_guide_explains_every_key_of_a_comparison():
    """The keys of the file are an interface like the options."""
    page = (ROOT / "docs" / "guide" / "compare.md").read_text(encoding="utf-8")
    table = page.partition("## Keys of the file")[2].partition("\n## ")[0]
    assert [key for key in ("preset", *KEYS) if f"\n| `{key}` |" not in table] == []
