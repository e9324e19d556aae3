"""Plugins: modules of users that register objectives, terms and the like when they are imported.

Every command takes `--plugin FILE_OR_MODULE`, the YAML file of `compare` has a key `plugins`, and an installed package names
its modules under the entry-point group `miniend.plugins`. All are imported before any option is checked. What a plugin gets
wrong later, at whatever place it is called, is told in one line too (`fault_of_a_plugin`).
"""

import hashlib
import sys
import traceback
from collections.abc import Callable, Iterable
from functools import partial
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

from ..errors import ConfigurationError, in_one_line, shortened
from .durable import is_there
from .local_names import from_root, path_or_module
from .there import look

GROUP = "miniend.plugins"
LONGEST_NAME = 240
REMEDY = "correct the plugin, or leave it out"

_loaded: dict[str, Path] = {}
"""Name of a plugin, as the user wrote it -> its file."""
_named: dict[str, None] = {}
"""The plugins that were asked for, without the ones of installed packages, as they are named from the root."""


def load_plugins(names: Iterable[str]) -> None:
    """Import the plugins of installed packages, then those named; a plugin that was imported before is left alone.

    A name that ends in .py or contains a separator is a file, any other a module. Raises ConfigurationError for a plugin that
    is missing or fails.
    """
    from importlib.metadata import entry_points  # `--help` does not need it and should not wait for it

    for entry in entry_points(group=GROUP):
        what = f"the plugin {entry.value} of an installed package"
        _load(entry.module, what, partial(import_module, entry.module))
    for name in names:
        what = f"--plugin {_shown(name)}"
        if _is_file(name):
            if not _is_readable(Path(name)):
                raise ConfigurationError(f"{what}: expected a Python file, found none; check its path")
            _load(name, what, partial(_import_file, Path(name)))
        elif all(part.isidentifier() for part in name.split(".")):
            _load(name, what, partial(import_module, name))
        else:
            raise ConfigurationError(
                f"--plugin {_shown(repr(name))}: expected a Python file or the name of a module, such as my_terms.py or "
                "my_package.terms"
            )
        _named[from_root(path_or_module, name)] = None


def named_plugins() -> tuple[str, ...]:
    """Return the plugins that were asked for, so that a record can name them."""
    return tuple(_named)


def digests() -> dict[str, str]:
    """Return the SHA-256 of the file of every plugin that was imported, by the file's name."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in _loaded.values() if path.is_file()}


def fault_of_a_plugin(error: BaseException) -> str | None:
    """Return one line on an error that was raised while code of a plugin ran; None if no plugin took part.

    It names the deepest line of a plugin's code, because what raised the error may be a library that the plugin called.
    """
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        for name, path in _loaded.items():
            code = Path(frame.filename)
            if code == path or (path.name == "__init__.py" and code.is_relative_to(path.parent)):
                place = f"{code.name}, line {frame.lineno}, in {frame.name}"
                return f"the plugin {name} failed: {type(error).__name__}: {in_one_line(error)} ({place}); {REMEDY}"
    return None


def _load(name: str, what: str, load: Callable[[], ModuleType]) -> None:
    """Import one plugin. Raise ConfigurationError, in one line, for whatever it raises."""
    try:
        module = load()
    except ModuleNotFoundError as error:
        there = look(Path(name)).words
        also = (
            ""
            if there.startswith("missing") or not name.startswith(str(error.name))
            else f" ({_shown(name)} is {there})"
        )
        raise ConfigurationError(
            f"{what}: expected a module {_shown(str(error.name))}, found none{also}; check the name, or install it"
        ) from error
    except (Exception, SystemExit) as error:  # whatever a plugin raises
        raise ConfigurationError(f"{what} failed: {_in_words(error)}; {REMEDY}") from error
    if module.__file__ is None and hasattr(module, "__path__"):
        raise ConfigurationError(
            f"{what}: expected a Python file or module, found a folder without __init__.py; {REMEDY}"
        )
    if module.__file__:
        _loaded[name] = Path(module.__file__)


def _shown(name: str) -> str:
    """Return a name for a message: whole if it is a path that somebody may have."""
    return shortened(name, LONGEST_NAME)


def _is_file(name: str) -> bool:
    return name.endswith(".py") or "/" in name or "\\" in name


def _is_readable(path: Path) -> bool:
    """Return whether a path is a file; what no file can be called is none."""
    return is_there(path) and path.is_file()


def _import_file(path: Path) -> ModuleType:
    module_name = f"miniend_plugin_{path.stem}"
    loaded = sys.modules.get(module_name)
    if loaded is not None and loaded.__file__ == str(path.resolve()):
        return loaded
    if loaded is not None:
        raise ValueError(f"another plugin file is named {path.name} too")
    spec = spec_from_file_location(module_name, path.resolve())
    if spec is None or spec.loader is None:
        raise ValueError(f"{path} is not a Python file")
    module = module_from_spec(spec)
    sys.modules[module_name] = module  # before it runs, as dataclasses of the plugin need
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[module_name]
        raise
    return module


def _in_words(error: BaseException) -> str:
    """Return an error in one line, with the line of the user's file that led to it."""
    package = Path(__file__).parents[1]
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not Path(frame.filename).is_relative_to(package)]
    last = [frame for frame in own if not frame.filename.startswith("<frozen importlib")][-1:]
    where = (
        "" if isinstance(error, SyntaxError) or not last else f" ({Path(last[0].filename).name}, line {last[0].lineno})"
    )
    return f"{type(error).__name__}: {in_one_line(error)}{where}"
