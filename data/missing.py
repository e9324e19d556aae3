"""Say what is there where a path is missing: the nearest names of its folder, or the first folder that does not exist."""

from collections import Counter
from difflib import get_close_matches
from pathlib import Path

from .rows import ending_of

MOST_NAMED = 8


def what_is_there(path: Path) -> str:
    """Return a clause about a missing path, such as `the folder data holds train.jsonl`."""
    try:
        if not path.parent.is_dir():
            gone = next(one for one in reversed(path.parents) if not one.is_dir())
            return f"the folder {gone} does not exist"
        names = sorted(one.name for one in path.parent.iterdir() if not one.name.startswith("."))
    except OSError as error:
        return f"its folder cannot be read ({error.strerror or error})"
    place = "the working directory" if path.parent == Path() else f"the folder {path.parent}"
    near = get_close_matches(path.name, names, n=3)
    return f"did you mean {' or '.join(near)} in {place}?" if near else f"{place} holds {listed(names)}"


def listed(names: list[str]) -> str:
    """Return the first names of a folder, for a message."""
    return ", ".join(names[:MOST_NAMED]) + (", ..." if len(names) > MOST_NAMED else "") if names else "nothing"


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
