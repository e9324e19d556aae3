"""List folders, and never pass over one that cannot be listed at the moment.

glob.glob, Path.glob, Path.rglob and os.walk answer "nothing" for a folder that a network file system refuses for a moment. Its
files would be missing from a corpus or from what is published, without a word. So the package lists folders here only.
"""

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from fnmatch import fnmatchcase
from glob import has_magic
from itertools import pairwise
from pathlib import Path

from .durable import leads_nowhere

_BELOW = "**"
_Identity = tuple[int, int]


def entries(folder: Path, prefix: str = "", suffix: str = "") -> list[Path]:
    """Return the files and folders of a folder whose names start and end so, sorted; an empty list if it is not there.

    Raises OSError if the folder cannot be listed at the moment.
    """
    names = (name for name, _ in _listed(str(folder)))
    return [folder / name for name in names if name.startswith(prefix) and name.endswith(suffix)]


def everything_below(folder: Path) -> list[Path]:
    """Return all files and folders below a folder, sorted; an empty list if the folder is not there. Links are not followed.

    Raises OSError for a folder that cannot be listed at the moment.
    """

    found: list[str] = []
    folders = [str(folder)]
    while folders:  # and not a recursion, which strangers' folders can be too deep for
        path = folders.pop()
        try:
            inside = [(os.path.join(path, name), is_folder) for name, is_folder in _scanned(path, links=False)]
        except OSError as error:
            if not found and leads_nowhere(error):
                return []
            raise
        found += (one for one, _ in inside)
        folders += (one for one, is_folder in inside if is_folder)
    return sorted(map(Path, found))


def matching(pattern: str) -> list[Path]:
    """Return the paths that a glob matches, each once, sorted; `**` stands for any folders, as in the module glob.

    Links to folders are followed, but not back into a folder that they are in. Raises OSError for a folder that cannot be listed
    at the moment.
    """
    found: Iterable[str] = ["/" if pattern.startswith("/") else ""]
    parts = [part for part in pattern.split("/") if part]
    for part, after in pairwise([*parts, ""]):
        if part == _BELOW:
            found = dict.fromkeys(one for path in found for one in _below(path, files=not after))
        elif has_magic(part):
            found = [os.path.join(path, name) for path in found for name in _named(path, part, folders=bool(after))]
        else:
            found = [one for path in found if _seen(os.lstat, one := os.path.join(path, part))]
    if pattern.endswith("/"):
        found = [path for path in found if (state := _seen(os.stat, path)) and stat.S_ISDIR(state.st_mode)]
    return [Path(path) for path in sorted(found) if path]


def _named(folder: str, pattern: str, folders: bool) -> Iterator[str]:
    """Yield the names in a folder that one part of a glob matches."""
    for name, is_folder in _listed(folder):
        if fnmatchcase(name, pattern) and (is_folder or not folders) and (pattern.startswith(".") or name[0] != "."):
            yield name


def _below(folder: str, files: bool) -> Iterator[str]:
    """Yield a folder and the folders below it, with or without their files, but nothing that a dot hides."""
    folders: list[tuple[str, tuple[_Identity, ...]]] = [(folder, ())]
    while folders:
        path, above = folders.pop()
        state = _seen(os.stat, path or ".")
        if state is None or (own := (state.st_dev, state.st_ino)) in above:  # a link back to where we come from
            continue
        yield path
        for name, is_folder in _listed(path):
            if name[0] != "." and is_folder:
                folders.append((os.path.join(path, name), (*above, own)))
            elif name[0] != "." and files:
                yield os.path.join(path, name)


def _listed(folder: str) -> list[tuple[str, bool]]:
    """Return the sorted names in a folder, and whether each is a folder or a link to one; none if it is not a folder."""
    try:
        return sorted(_scanned(folder or "."))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _scanned(folder: str, links: bool = True) -> Iterator[tuple[str, bool]]:
    """Yield the names in a folder, and whether each is a folder, or a link to one if `links` count."""
    with os.scandir(folder) as scan:
        for entry in scan:
            try:
                is_folder = entry.is_dir(follow_symlinks=links)
            except OSError as error:
                if not leads_nowhere(error):  # else a link in a circle
                    raise
                is_folder = False
            yield entry.name, is_folder


def _seen(look: Callable[[str], os.stat_result], path: str) -> os.stat_result | None:
    """Return what `os.stat` or `os.lstat` says of a path; None if nothing is there."""
    try:
        return look(path)
    except ValueError:  # nothing can have a name with NUL or with half of a surrogate pair
        return None
    except OSError as error:
        if leads_nowhere(error):
            return None
        raise
