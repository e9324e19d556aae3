"""Options whose text may name something on this machine: which part is a path, as it is from the root, and whether it is lost.

A run that is recorded in one directory is continued or repeated in another one. So a record holds paths from the root.
"""

import os
import re
from collections.abc import Callable
from pathlib import Path

from .durable import is_there
from .listing import matching

Parts = tuple[str, str, str]
"""The text before a path, the path, and the text after it."""
Form = Callable[[str], Parts | None]
"""A function that splits an option's text; it returns None for a text that does not name anything on this machine."""
BUILT_IN_CORPORA = ("python-docs", "python-source")
"""The names of the corpora that are text of the Python environment."""
_SIZE = re.compile("[0-9]+(L|E[0-9]+D)[0-9]+H")
_STARTS = re.compile("([A-Za-z][A-Za-z0-9_-]*:)(.+)", re.DOTALL)


def path(text: str) -> Parts | None:
    """Split the text of an option that is always a path."""
    return "", text, ""


def path_or_url(text: str) -> Parts | None:
    """Split a path, or the URL of an object store."""
    return None if "://" in text else path(text)


def path_or_name(text: str) -> Parts | None:
    """Split a path, or a name on the hub, which is one if nothing is there."""
    return path(text) if text.startswith("/") or Path(text).exists() else None


def path_or_module(text: str) -> Parts | None:
    """Split a Python file, or the name of a module."""
    return path(text) if text.endswith(".py") or "/" in text else None


def path_or_size(text: str) -> Parts | None:
    """Split a config file, or the size of a student."""
    return None if _SIZE.fullmatch(text) else path_or_name(text)


def start(text: str) -> Parts | None:
    """Split `[START:]SOURCE`."""
    named = None if Path(text).exists() else _STARTS.fullmatch(text)
    if named is None:
        return path_or_name(text)
    source = path_or_name(named[2])
    return None if source is None else (named[1], source[1], "")


def corpus(text: str) -> Parts | None:
    """Split the name of a corpus: a file, a glob, a folder, or `hf:` with a local folder."""
    if text in BUILT_IN_CORPORA:
        return None
    if not text.startswith("hf:"):
        return path(text)
    name, colon, config = text.removeprefix("hf:").partition(":")
    return ("hf:", name, colon + config) if name.startswith("/") or Path(name).is_dir() else None


def from_root(form: Form, text: str) -> str:
    """Return the same text with its path as it is from the root."""
    parts = form(text)
    if parts is None:
        return text
    before, named, after = parts
    whole = os.path.abspath(named)
    return text if before == "hf:" and re.search("[:@]", whole) else f"{before}{whole}{after}"


def is_lost(form: Form, text: str) -> bool:
    """Return whether nothing is where a text with a path from the root says."""
    parts = form(text)
    return parts is not None and not is_there(Path(parts[1])) and not matching(parts[1])
