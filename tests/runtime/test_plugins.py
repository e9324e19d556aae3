"""Plugins: imported by file, module or entry point; whatever they get wrong, then or later, is one line that names them."""

import sys

import pytest

from miniend.cli import exit_status
from miniend.errors import ConfigurationError
from miniend.models.layer_maps import LAYER_MAPS
from miniend.runtime import plugins
from miniend.runtime.plugins import digests, fault_of_a_plugin, load_plugins


@pytest.fixture(autouse=True)
def as_before(monkeypatch):
    """Puts back what plugins register and what was imported."""
    monkeypatch.setattr(LAYER_MAPS, "_entries", dict(LAYER_MAPS))
    monkeypatch.setattr(plugins, "_loaded", {})
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.fixture
def plugin(tmp_path):
    """Writes a plugin and returns its path."""

    def written(content, name="plugin.py"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
        return str(path)

    return written


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("import nothing_of_this_name", "expected a module nothing_of_this_name, found none"),
        ("x = 1\nraise ValueError('two\\nlines')", "plugin.py failed: ValueError: two lines (plugin.py, line 2)"),
        ("def f(:", "plugin.py failed: SyntaxError"),
        ("import sys\nsys.exit(3)", "plugin.py failed: SystemExit: 3 (plugin.py, line 2)"),
        (
            "import miniend\n\nmap = miniend.LAYER_MAPS['last']\nminiend.LAYER_MAPS.add('uniform', map)",
            "layer map 'uniform' is registered already; choose another name (plugin.py, line 4)",
        ),
        ("import miniend\nminiend.TERMS.add('mine', 3)", "expected a class of miniend.Term"),
    ],
)
def test_a_plugin_that_fails_is_one_clear_line_that_names_its_own_line(plugin, content, named):
    """A plugin is somebody's first program against this package: the line of theirs is what they need."""
    with pytest.raises(ConfigurationError) as refused:
        load_plugins([plugin(content)])
    assert named in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "named"),
    [
        ("plugin.py", "--plugin plugin.py: expected a Python file, found none"),
        ("not_installed.terms", "--plugin not_installed.terms: expected a module not_installed, found none"),
        ("", "--plugin '': expected a Python file or the name of a module"),
        (".", "--plugin '.': expected a Python file or the name of a module"),
        ("my-terms", "--plugin 'my-terms': expected a Python file or the name of a module"),
    ],
)
def test_a_plugin_that_is_missing_is_one_clear_line(name, named):
    with pytest.raises(ConfigurationError) as refused:
        load_plugins([name])
    assert named in str(refused.value)


FAULTY = """
import json
import miniend

@miniend.LAYER_MAPS.register("faulty")
def faulty(student, teacher):
    return json.loads("{")
"""


def test_what_a_plugin_gets_wrong_later_is_one_line_too(plugin, capsys):
    """A traceback through this package would be read as a fault of this package."""
    name = plugin(FAULTY)
    load_plugins([name])
    assert exit_status(lambda: LAYER_MAPS["faulty"](1, 2)) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"miniend: the plugin {name} failed: JSONDecodeError: Expecting property name")
    assert said.endswith("(plugin.py, line 7, in faulty); correct the plugin, or leave it out\n")
    assert len(said.splitlines()) == 1


def test_the_file_of_a_package_that_failed_is_named(plugin, tmp_path, monkeypatch):
    """A package registers from several files, of which its __init__ imports the others."""
    plugin("from .maps import faulty", "my_maps/__init__.py")
    plugin(FAULTY, "my_maps/maps.py")
    monkeypatch.syspath_prepend(tmp_path)
    load_plugins(["my_maps"])
    with pytest.raises(ValueError, match="Expecting") as failed:
        LAYER_MAPS["faulty"](1, 2)
    assert "the plugin my_maps failed: JSONDecodeError" in fault_of_a_plugin(failed.value)
    assert "(maps.py, line 7, in faulty)" in fault_of_a_plugin(failed.value)


def test_a_fault_of_the_package_itself_keeps_its_traceback(plugin):
    """One that is hidden in a line is never found."""
    load_plugins([plugin("x = 1")])
    with pytest.raises(ZeroDivisionError) as failed:
        exit_status(lambda: 1 // 0)
    assert fault_of_a_plugin(failed.value) is None


def test_a_plugin_has_the_digest_of_its_file(plugin):
    """A run remembers it, so that it can say that the code has changed."""
    name = plugin("x = 1")
    load_plugins([name, name])
    first = digests()
    plugin("x = 2")
    assert list(first) == list(digests()) == ["plugin.py"]
    assert first != digests()
