"""Imports point one way; read from the source, so that an import inside a function counts too."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import miniend

ROOT = Path(miniend.__file__).parent
GROUND = {"errors", "runtime"}
SHARED = {"models", "signals", "storage", "cache", "data", *GROUND}
STAGES = {"teacher_dump", "student_train", "evaluation"}
ALLOWED = {
    "errors": set(),
    "runtime": {"errors"},
    "models": GROUND,
    "data": GROUND,
    "signals": {"models", *GROUND},
    "storage": GROUND,
    "cache": SHARED,
    **dict.fromkeys(STAGES, SHARED),
    "recipes": SHARED | STAGES,
    "api": SHARED | STAGES | {"recipes"},
    "cli": SHARED | STAGES | {"recipes", "api", "__init__"},
    "__init__": {*SHARED, *STAGES, "api"},
    "__main__": {"cli", "runtime"},
}
"""Room -> the other rooms that it may import."""
FORBIDDEN_LIBRARIES = {
    "storage": {"torch", "transformers", "datasets", "safetensors"},
    "signals": {
        "pathlib",
        "os",
        "io",
        "shutil",
        "tempfile",
        "zarr",
        "numcodecs",
        "safetensors",
        "transformers",
        "json",
    },
    "errors": {"torch", "transformers", "numpy", "zarr"},
    "cli": {"numpy", "torch", "transformers", "zarr"},
}
FILE_CALLS = {"open", "load", "save", "read_text", "write_text", "read_bytes", "write_bytes", "fromfile", "tofile"}
FOLDERS = tuple(ALLOWED)


def sources():
    """Every module of the package by its path inside it."""
    found = [*ROOT.glob("*.py"), *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))]
    return {path.relative_to(ROOT).as_posix(): path.read_text() for path in found}


def room_of(path):
    """`signals/codes/fit.py` is in signals, `errors.py` in errors."""
    return path.split("/")[0].removesuffix(".py")


def imports(path, tree):
    """(room or None, library or None) of every import in a module."""
    depth = path.count("/") + 1
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((None, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield None, node.module
        elif isinstance(node, ast.ImportFrom):
            parents = [*path.split("/")[:-1]][: depth - node.level]
            full = [*parents, *(node.module or "").split(".")] if node.module else parents
            names = [full[0]] if full else [alias.name for alias in node.names]
            yield from ((name if name in ALLOWED else "__init__", None) for name in names)


def violations(path, source):
    """A sentence for each import or call that the direction forbids."""
    room, tree = room_of(path), ast.parse(source)
    found = []
    for other, library in imports(path, tree):
        top = (library or "").split(".")[0]
        if other and other != room and other not in ALLOWED[room]:
            found.append(f"{path} imports {other}")
        if top == "miniend":
            found.append(f"{path} imports {library} absolutely")
        if top in FORBIDDEN_LIBRARIES.get(room, ()):
            found.append(f"{path} imports {library}")
    if room == "signals":
        calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
        names = [call.id if isinstance(call, ast.Name) else getattr(call, "attr", "") for call in calls]
        found += [f"{path} calls {name}()" for name in names if name in FILE_CALLS]
    return found


def test_every_room_of_the_package_is_looked_at():
    """A new folder that no rule names would be free to import anything."""
    rooms = {room_of(path) for path in sources()}
    assert rooms <= set(ALLOWED)
    assert {"signals", "storage", "cache", "teacher_dump", "student_train", "evaluation", "recipes", "cli"} <= rooms
    ignored = {"tests", "benchmarks", "build"}
    folders = {
        path.parent.name for path in ROOT.glob("*/__init__.py") if not path.parent.name.startswith(".")
    } - ignored
    assert folders <= set(FOLDERS)


def test_every_folder_of_the_package_is_installed():
    """A folder that is missing from pyproject.toml works in a checkout and fails after `pip install`."""
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    folders = {Path(path).parent for path in sources()}
    assert sorted(listed) == sorted(".".join(("miniend", *folder.parts)) for folder in folders)


@pytest.mark.parametrize("path", sorted(sources()))
def test_imports_point_one_way(path):
    """Once two rooms know each other, neither can be read, tested or replaced alone, and it never comes undone."""
    assert violations(path, sources()[path]) == []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("signals/sites.py", "from ..storage.folder import PublishedFolder"),
        ("signals/sites.py", "from .. import cache"),
        ("signals/sites.py", "def f():\n    from ..cache import open_cache"),
        ("signals/sites.py", "from pathlib import Path"),
        ("signals/sites.py", "x = open('file')"),
        ("signals/sites.py", "x = torch.load('file')"),
        ("signals/sites.py", "import zarr.core"),
        ("storage/folder.py", "import torch"),
        ("storage/folder.py", "from torch.nn import Module"),
        ("storage/folder.py", "from ..signals.sites import Site"),
        ("storage/folder.py", "from ..models.padding import pad_examples"),
        ("cache/cache.py", "from ..teacher_dump.plan import ensure_plan"),
        ("cache/cache.py", "from .. import teacher_dump"),
        ("teacher_dump/dump.py", "from ..student_train.train import train_student"),
        ("student_train/train.py", "if True:\n    from ..teacher_dump import dump"),
        ("evaluation/evaluate.py", "from ..student_train.run.checkpoint import save_checkpoint"),
        ("student_train/train.py", "def f():\n    from ..evaluation.facts import gflops"),
        ("teacher_dump/dump.py", "from ..recipes.inspection import inspect_cache"),
        ("recipes/estimate.py", "from ..cli import app"),
        ("recipes/estimate.py", "from .. import cli"),
        ("teacher_dump/dump.py", "import miniend.cache.cache"),
        ("teacher_dump/dump.py", "from miniend.cache import open_cache"),
        ("errors.py", "from .runtime.progress import progress_bar"),
        ("cli.py", "import torch"),
        ("runtime/devices.py", "from .. import __version__"),
    ],
)
def test_a_wrong_import_would_be_found(path, source):
    """A check that reads the source wrongly passes for ever."""
    assert len(violations(path, source)) == 1


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("signals/sites.py", "from .sites import Site\nfrom ..errors import MiniEndError\nimport torch"),
        ("recipes/estimate.py", "from ..teacher_dump.dump import dump_teacher\nfrom . import inspection"),
        ("cli.py", "from . import __version__\nfrom .errors import MiniEndError"),
        ("cache/cache.py", "from ..storage.folder import PublishedFolder\nfrom ..signals.sites import find_site"),
        ("teacher_dump/dump.py", "from ..cache import read_codecs\nfrom . import plan"),
    ],
)
def test_a_right_import_is_left_alone(path, source):
    """A check that finds fault with everything would be switched off."""
    assert violations(path, source) == []


CONFIGURATIONS = [
    f"miniend.{path.removesuffix('.py').replace('/', '.')}" for path in sources() if path.endswith("config.py")
]


@pytest.mark.parametrize("module", ["miniend.cli", "miniend.student_train.objective", *sorted(CONFIGURATIONS)])
def test_options_import_nothing_heavy(module):
    """The command line and the YAML file of a comparison read them before anything else is needed."""
    heavy = ("torch", "transformers", "datasets", "numpy", "zarr", "pyarrow", "accelerate")
    script = f"import sys, {module}; print(sorted({set(heavy)} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("module", ["miniend", "miniend.errors", "miniend.storage.layout"])
def test_light_modules_import_no_torch(module):
    """Through a third module too: a reader of caches or a `--help` should not wait for seconds or need a gigabyte."""
    script = f"import sys, {module}; print(sorted({{'torch', 'transformers', 'datasets'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
