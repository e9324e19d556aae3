"""MiniEnD: offline distillation of T5-family encoder-decoders.

`miniend dump-teacher` runs a teacher over a corpus once and caches its signals; `miniend train-student` trains students
from the cache without the teacher. From Python, `miniend.open_cache(path)` reads a cache.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import errors as errors
    from .cache import open_cache as open_cache

__version__ = "0.1.0"
__all__ = ["__version__", "errors", "open_cache"]

_LAZY = {"errors": ("miniend.errors", None), "open_cache": ("miniend.cache", "open_cache")}


def __getattr__(name: str) -> Any:
    """Import the public names on first use, so that `import miniend` (and `--help`) stay instant."""
    if name not in _LAZY:
        raise AttributeError(f"module 'miniend' has no attribute {name!r}")
    module, attribute = _LAZY[name]
    loaded = import_module(module)
    return getattr(loaded, attribute) if attribute else loaded
