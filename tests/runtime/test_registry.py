"""Registries: an entry is one file and one line, and a wrong name is one clear line."""

import sys

import pytest

from miniend.errors import ConfigurationError
from miniend.models.families import FAMILIES
from miniend.models.layer_maps import LAYER_MAPS
from miniend.models.start import STARTS
from miniend.runtime.registry import Registry, import_entries
from miniend.signals.kinds import KINDS
from miniend.student_train.objective import OBJECTIVES, spec
from miniend.student_train.terms import TERMS, Term


@pytest.fixture
def colours():
    registry = Registry("colour", "a number", lambda _name, entry: isinstance(entry, int))
    registry.add("red", 1)
    registry.register("green")(2)
    return registry


def test_entries_are_listed_in_the_order_in_which_they_came(colours):
    """Help texts, errors and plans list them; an order by chance would change between two runs."""
    assert dict(colours) == {"red": 1, "green": 2}
    assert (len(colours), "red" in colours, "blue" in colours) == (2, True, False)


def test_an_unknown_name_is_refused_with_those_that_exist(colours):
    """A KeyError would be a traceback."""
    with pytest.raises(ConfigurationError, match="unknown colour 'blue'; expected one of red, green"):
        colours["blue"]
    assert (colours.get("blue"), colours.get("blue", 3), colours.get("red")) == (None, 3, 1)


def test_a_name_is_given_once(colours):
    """Two plugins that call their terms alike would train each other's; the same entry again is an import again."""
    with pytest.raises(ConfigurationError, match="colour 'red' is registered already; choose another name"):
        colours.add("red", 4)
    colours.add("red", 1)
    assert colours["red"] == 1


def test_a_cell_of_a_notebook_that_is_run_again_replaces_what_it_registered(colours):
    """Who corrects a loss in a cell runs the cell again; what another file registered is still another entry."""
    registry = Registry("loss", "a class", lambda _name, entry: isinstance(entry, type))
    first, second = (type("Loss", (), {"__module__": "__main__", "__qualname__": "Loss"}) for _ in range(2))
    registry.add("own", first)
    registry.add("own", second)
    assert registry["own"] is second
    with pytest.raises(ConfigurationError, match="registered already"):
        registry.add("own", type("Loss", (), {"__module__": "other", "__qualname__": "Loss"}))


def test_a_file_in_the_folder_is_an_entry(tmp_path, monkeypatch):
    """Whoever adds a file should not have to find the list that it must be written into."""
    folder = tmp_path / "made_of_files"
    folder.mkdir()
    (folder / "__init__.py").write_text(
        "from miniend.runtime.registry import Registry\nSHAPES = Registry('shape', 'anything', lambda *_: True)\n"
    )
    for name in ("square", "circle"):
        (folder / f"{name}.py").write_text(f"from made_of_files import SHAPES\nSHAPES.add({name!r}, {name!r})\n")
    monkeypatch.syspath_prepend(tmp_path)
    module = __import__("made_of_files")
    import_entries("made_of_files", [str(folder)])
    assert list(module.SHAPES) == ["circle", "square"]
    for name in ("made_of_files", "made_of_files.circle", "made_of_files.square"):
        del sys.modules[name]


@pytest.mark.parametrize(
    ("registry", "expected"),
    [
        (KINDS, {"self", "cross", "hidden"}),
        (TERMS, {"labels", "logits", "relations", "cross_relations", "hidden", "direct", "filtered"}),
        (STARTS, {"fresh", "checkpoint", "teacher-layers", "pruned"}),
        (LAYER_MAPS, {"last", "uniform", "last-k", "all", "consecutive", "uniform+last"}),
    ],
    ids=lambda value: value.what if isinstance(value, Registry) else "",
)
def test_the_package_registers_its_own(registry, expected):
    """A file that no folder listing finds is a method that nobody can choose."""
    assert expected <= set(registry)


@pytest.mark.parametrize("name", ["", "a/b", "a:b", "two words", "-x", 3, None])
def test_a_name_that_no_command_line_or_folder_can_hold_is_refused(colours, name):
    """An objective's name is a folder's, a start's stands before a colon, a site's in a list with commas."""
    with pytest.raises(ConfigurationError, match="expected a name of letters, digits"):
        colours.add(name, 1)


@pytest.mark.parametrize(
    ("registry", "name", "entry", "expected"),
    [
        (TERMS, "x", TERMS["labels"](), "a class of miniend.Term that has build, counts and formula, found Labels()"),
        (TERMS, "x", Term, "a class of miniend.Term that has build, counts and formula"),
        (TERMS, "x", int, "a class of miniend.Term"),
        (OBJECTIVES, "x", (), 'a tuple of terms, such as (spec("labels"),), found ()'),
        (OBJECTIVES, "x", spec("labels"), "a tuple of terms"),
        (OBJECTIVES, "x", ("labels",), "a tuple of terms"),
        (LAYER_MAPS, "x", ((0, 1),), "a function of the student's depth and the teacher's"),
        (STARTS, "x", None, "a function of a miniend.StartRequest"),
        (FAMILIES, "x", type(FAMILIES["t5"]), "an object of miniend.Family"),
        (KINDS, "x", type(KINDS["hidden"]), "an object of miniend.SignalKind whose `name` is this one"),
        (KINDS, "x", KINDS["hidden"], "an object of miniend.SignalKind whose `name` is this one"),
    ],
)
def test_an_entry_of_another_form_is_refused_where_it_is_registered(registry, name, entry, expected):
    """There a plugin's author sees their own line; later it would be a traceback of ours."""
    with pytest.raises(ConfigurationError) as refused:
        registry.add(name, entry)
    assert f"{registry.what} 'x': expected {expected}" in str(refused.value)
    assert name not in registry
