"""Plugins: modules of users that register objectives, terms and the like when they are imported.

Every command takes `--plugin FILE_OR_MODULE`, the YAML file of `compare` has a key `plugins`, and an installed package names
its modules under the entry-point group `miniend.plugins`. All are imported before any option is checked.
"""

import sys
import traceback
from collections.abc import Callable, Iterable
from functools import partial
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

from ..errors import ConfigurationError, in_one_line

GROUP = "miniend.plugins"


def load_plugins(names: Iterable[str]) -> None:
    """Import the plugins of installed packages, then those named; a plugin that was imported before is left alone.

    A name that ends in .py or contains a separator is a file, any other a module. Raises ConfigurationError for a plugin that
    is missing or fails.
    """
    from importlib.metadata import entry_points  # `--help` does not need it and should not wait for it

    for entry in entry_points(group=GROUP):
        _guarded(f"the plugin {entry.value} of an installed package", entry.load)
    for name in names:
        if _is_file(name) and not Path(name).is_file():
            raise ConfigurationError(f"--plugin {name}: expected a Python file, found none; check its path")
        _guarded(f"--plugin {name}", partial(_import, name))


def _guarded(what: str, load: Callable[[], object]) -> None:
    """Call `load`. Raise ConfigurationError, in one line, for whatever it raises."""
    try:
        load()
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"{what}: expected a module {error.name}, found none; check the name, or install it"
        ) from error
    except Exception as error:  # whatever a plugin raises
        raise ConfigurationError(f"{what} failed: {_in_words(error)}; correct the plugin, or leave it out") from error


def _is_file(name: str) -> bool:
    return name.endswith(".py") or "/" in name or "\\" in name


def _import(name: str) -> None:
    if _is_file(name):
        _import_file(Path(name))
    else:
        import_module(name)


def _import_file(path: Path) -> None:
    module_name = f"miniend_plugin_{path.stem}"
    loaded = sys.modules.get(module_name)
    if loaded is not None and loaded.__file__ == str(path.resolve()):
        return
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


def _in_words(error: Exception) -> str:
    """Return an error in one line, with the line of the file that raised it."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    where = "" if isinstance(error, SyntaxError) else f" ({Path(last.filename).name}, line {last.lineno})"
    return f"{type(error).__name__}: {in_one_line(error)}{where}"
