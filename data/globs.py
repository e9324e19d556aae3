"""Globs of users' files: what one matches, and which one fits a folder that was named as a corpus."""

from collections import Counter
from glob import escape
from pathlib import Path

from ..errors import CorpusError
from ..runtime.listing import matching
from ..runtime.there import what_is_there
from .rows import ending_of


def files_matching(pattern: str) -> list[Path]:
    """Return the files that a glob matches, sorted; folders do not count.

    Raises CorpusError for what would be left out without a word: a folder that cannot be listed, a link that leads nowhere, a
    pipe or a device.
    """
    try:
        return [path for path in matching(pattern) if _is_file(path)]
    except OSError as error:
        raise CorpusError(
            f"the corpus {pattern!r} cannot be listed whole ({error.strerror}: {error.filename}); make that readable, or name "
            "files that do not need it"
        ) from error


def require_whole(folder: Path) -> None:
    """Raise CorpusError if something in a folder would be left out without a word."""
    files_matching(f"{escape(str(folder))}/**")


def glob_for(folder: Path) -> str | None:
    """Return the glob of the most frequent kind of readable file in a folder or below it; None if there is none."""
    found = Counter(
        ("*/*" if deep else "*")
        + "".join(path.suffixes[-2:] if path.suffix.lower() in (".gz", ".zst") else [path.suffix])
        for deep, pattern in ((False, "*"), (True, "*/*"))
        for path in matching(f"{escape(str(folder))}/{pattern}")
        if ending_of(path) is not None and path.is_file()
    )
    return f"{escape(str(folder))}/{found.most_common(1)[0][0]}" if found else None


def _is_file(path: Path) -> bool:
    if path.is_file():
        return True
    if not path.is_dir():
        raise CorpusError(f"the corpus file {path} cannot be read: {what_is_there(path)}; remove it, or name others")
    return False
