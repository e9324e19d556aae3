"""Say what is at a path where something else was expected, and what to do: the cause comes before what a library says of it.

We know the directories that the commands write by the names of their files, and read nothing but the step of a training.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from ..errors import CacheMismatchError
from .durable import is_there
from .json_file import read_json
from .listing import entries

NOT_UTF8 = "rename it, because the libraries that read and write tensors cannot open it"
"""What to do about a path that is not UTF-8."""
MOST_NAMED = 8
"""The largest number of names that a message lists."""
_STEP = re.compile(r"step-(\d{1,18})")


@dataclass(frozen=True, slots=True)
class Found:
    """What is at a path."""

    words: str
    """A clause about it: `a cache`, `a folder that holds a.md`, `missing: did you mean wiki in the folder data?`."""
    of_miniend: bool = False
    """Whether a command of MiniEnD made it."""
    caches: tuple[Path, ...] = ()
    """The caches that are meant by it or inside of it."""
    models: tuple[Path, ...] = ()
    """The models that are meant by it or inside of it."""
    go_on: str = ""
    """The next step where it is unfinished."""
    free: bool = False
    """Whether a command can make something there: it is missing, or an empty folder."""


def is_utf8(path: Path | str) -> bool:
    """Return whether the bytes of a path are UTF-8; each byte that is not is half of a surrogate pair in Python."""
    return not any("\ud800" <= each <= "\udfff" for each in str(path))


def look(path: Path) -> Found:
    """Return what is at a path; a folder that cannot be read is what the system says of it."""
    try:
        return _look(path)
    except (OSError, ValueError) as error:
        return Found(f"a path that cannot be read ({getattr(error, 'strerror', None) or error})")


def not_a_cache(path: Path) -> str:
    """Return a clause on what is at a path where a cache was expected, and the next step."""
    found = look(path)
    if found.caches:
        return f"it is {found.words}; name {_either(found.caches)}"
    if found.models:
        model = found.models[0]
        return (
            f"it is {found.words}; name the cache that students learn from, or make one with `miniend dump-teacher --teacher "
            f"{model} --cache NAME`"
        )
    if found.free:
        end = " Or" if found.words.endswith("?") else ";"
        return (
            f"it is {found.words}{end} make a cache with `miniend dump-teacher --cache {path}`, or name another folder"
        )
    return f"it is {found.words}; name the folder of a cache"


def require_there(cache: Path | str) -> None:
    """Raise CacheMismatchError if nothing is at the path of a cache, before a command imports what takes seconds."""
    named = "://" not in str(cache) and "\0" not in str(cache) and is_utf8(cache)
    if named and not is_there(path := Path(cache)):
        raise CacheMismatchError(f"{path} is not a MiniEnD cache: {not_a_cache(path)}")


def not_a_model(path: Path) -> str:
    """Return a clause on what is at a path where a model was expected, and the next step."""
    found = look(path)
    if found.go_on:
        return f"it is {found.words}; {found.go_on}"
    if found.models and found.models != (path,):
        return f"it is {found.words}; name {_either(found.models)}"
    if found.caches:
        return (
            f"it is {found.words}, which holds a teacher's answers and no model; name a model, or train one with `miniend "
            f"train-student --cache {found.caches[0]} --output NAME`"
        )
    return f"it is {found.words}; expected a folder with config.json and model.safetensors, or the name of a model on the hub"


def what_is_there(path: Path) -> str:
    """Return a clause about a missing path, such as `the folder data holds train.jsonl`, or about a pipe."""
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            return "it is a pipe or a device; write what comes out of it to a file, because it is read more than once"
        if path.is_symlink():
            return f"it is a link to {path.readlink()}, which does not exist"
        if not path.parent.is_dir():
            gone = next(one for one in reversed(path.parents) if not one.is_dir())
            return f"{gone} is a file" if gone.exists() else f"the folder {gone} does not exist"
        names = _names(path.parent)
    except OSError as error:
        return f"its folder cannot be read ({error.strerror or error})"
    place = "the working directory" if path.parent == Path() else f"the folder {path.parent}"
    near = get_close_matches(path.name, names, n=3)
    return f"did you mean {' or '.join(near)} in {place}?" if near else f"{place} holds {listed(names)}"


def listed(names: list[str]) -> str:
    """Return the first names of a folder, for a message."""
    return ", ".join(names[:MOST_NAMED]) + (", ..." if len(names) > MOST_NAMED else "") if names else "nothing"


def _look(path: Path) -> Found:
    if not path.exists():
        there = what_is_there(path)
        link = path.is_symlink()
        return Found(there.removeprefix("it is ") if link else f"missing: {there}", free=not link)
    if not path.is_dir():
        return _file(path)
    return next(
        filter(None, (kind(path) for kind in (_cache, _run, _comparison, _evaluation, _model))), None
    ) or _other(path)


def _file(path: Path) -> Found:
    if above := cache_around(path):
        return Found(f"a file of the cache {above}", True, caches=(above,))
    if (path.parent / "config.json").is_file() and path.name in (
        "config.json",
        "model.safetensors",
        "pytorch_model.bin",
    ):
        return Found(f"a file of the model {path.parent}", models=(path.parent,))
    return Found("a file")


def _cache(path: Path) -> Found | None:
    if _has_plan(path):
        return Found("a cache", True, caches=(path,))
    above = cache_around(path)
    return Found(f"a part of the cache {above}", True, caches=(above,)) if above else None


def cache_around(path: Path) -> Path | None:
    """Return the cache that a path is inside of; None if there is none. What others put there makes it unsound."""
    return next((one for one in path.parents if _has_plan(one)), None)


def _has_plan(path: Path) -> bool:
    return (path / "plan" / "plan.json").is_file()


def _run(path: Path) -> Found | None:
    """Return a student, whose model is written last, or a training that has not ended."""
    if not (path / "run.json").is_file():
        return None
    if (path / "model.safetensors").is_file():
        return Found("a student", True, models=(path,))
    steps = [int(found[1]) for one in entries(path / "checkpoints") if (found := _STEP.fullmatch(one.name))]
    go_on = "run its train-student command again to finish it"
    if (path / "best" / "config.json").is_file():
        go_on += f", or take the best student so far, {path / 'best'}"
    at = f"step {max(steps, default=0)}{_planned(path)}"
    return Found(f"a training at {at}, without a student yet", True, go_on=go_on)


def _planned(path: Path) -> str:
    try:
        steps = read_json(path / "run.json")["steps"]
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    return f" of {steps}" if isinstance(steps, int) else ""


def _comparison(path: Path) -> Found | None:
    folders, records = ("caches", "students", "evaluated"), ("comparison.json", "settings.json", "pace.json")
    if not any((path / one).is_dir() for one in folders) or not any((path / one).is_file() for one in records):
        return None
    caches = tuple(one for one in _folders(path / "caches") if _has_plan(one))
    models = tuple(one for one in _folders(path / "students") if (one / "model.safetensors").is_file())
    return Found("the output of `miniend compare`", True, caches, models)


def _evaluation(path: Path) -> Found | None:
    if (path / "model.json").is_file() and not (path / "config.json").exists():
        return Found("the output of `miniend evaluate`", True)
    return None


def _model(path: Path) -> Found | None:
    if (path / "config.json").is_file():
        return Found("a model", models=(path,))
    return None


def _other(path: Path) -> Found:
    """Return a folder of caches or models, or any other."""
    within = list(_folders(path))
    if caches := tuple(one for one in within if _has_plan(one)):
        return Found(f"a folder of {_counted(caches, 'cache')}", True, caches=caches)
    if models := tuple(one for one in within if (one / "config.json").is_file()):
        students = all((one / "run.json").is_file() for one in models)
        return Found(f"a folder of {_counted(models, 'student' if students else 'model')}", students, models=models)
    names = _names(path)
    return Found(f"a folder that holds {listed(names)}" if names else "an empty folder", free=not names)


def _counted(paths: tuple[Path, ...], thing: str) -> str:
    return f"{len(paths)} {thing}{'' if len(paths) == 1 else 's'}"


def _either(paths: tuple[Path, ...]) -> str:
    text = " or ".join(map(str, paths[:3]))
    return text + (f" or another of {len(paths)}" if len(paths) > 3 else "")


def _folders(path: Path) -> Iterator[Path]:
    if path.is_dir():
        yield from sorted(one for one in path.iterdir() if one.is_dir())


def _names(path: Path) -> list[str]:
    return sorted(one.name for one in path.iterdir() if not one.name.startswith("."))
