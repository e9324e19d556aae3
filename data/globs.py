"""Suggest the glob for a folder that was named as a corpus."""

from collections import Counter
from pathlib import Path

from .rows import ending_of


def glob_for(folder: Path) -> str | None:
    """Return the glob of the most frequent kind of readable file in a folder or below it; None if there is none."""
    found = Counter(
        ("*/*" if deep else "*")
        + "".join(path.suffixes[-2:] if path.suffix.lower() in (".gz", ".zst") else [path.suffix])
        for deep, pattern in ((False, "*"), (True, "*/*"))
        for path in folder.glob(pattern)
        if ending_of(path) is not None and path.is_file()
    )
    return str(folder / found.most_common(1)[0][0]) if found else None
