"""`miniend verify --repair`: what is damaged or missing is dumped again, and the rest is shown to be left alone.

Everything but the teacher and the corpus comes from the plan, so nobody has to remember how the cache was dumped.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ...errors import CacheDamagedError, ConfigurationError
from ...runtime.claims import Claims
from ...runtime.progress import Say
from ...storage.documents.plan import Plan
from ...storage.folder import PublishedFolder
from ...storage.inventory import document_name
from ...storage.layout import plan_path
from ...storage.stores.place import place_of
from ...storage.survey import survey
from ...teacher_dump.dump import PREPARATION
from .aside import discard
from .config import RepairConfig
from .extents import repair_extents
from .folders import Redo, open_sources
from .verify import Report, verify_cache


@dataclass(kw_only=True, slots=True)
class Repair:
    """What a repair did; folders by their path relative to the cache."""

    redone: dict[str, str] = field(default_factory=dict)
    """Folder -> how it compares with what was published."""
    removed: list[str] = field(default_factory=list)
    """Unlisted things inside of published folders."""
    untouched: int = 0
    """Folders whose bytes were shown to be the same before and after."""


def repair_cache(config: RepairConfig, say: Say) -> Repair:
    """Mend a cache as far as it can be mended; `verify_cache` tells the result.

    Raises CacheDamagedError for a damaged plan and for extents that nothing proves, ConfigurationError without the teacher or
    the corpus where they are needed and while a dump is at work there, CacheMismatchError where they are not those of the
    plan, or give other values.
    """
    if place_of(config.cache).bucket is not None:
        raise ConfigurationError(
            f"{config.cache}: repair works on a local directory: copy the cache there, repair it and copy back what it names, or "
            "remove the damaged folders from the store and run dump-teacher again"
        )
    cache = Path(config.cache)
    report = verify_cache(cache)
    with _alone(cache):
        done = _repaired(config, cache, report)
    for line in _describe(done):
        say(line)
    return done


@contextmanager
def _alone(cache: Path) -> Iterator[None]:
    """Inside, no dump begins in this cache. Raises ConfigurationError while one is at work."""
    with Claims(cache) as claims:
        if not claims.take(PREPARATION) or claims.of_others():
            raise ConfigurationError(f"{cache}: a dump is at work there; repair it when that has ended")
        yield


def _repaired(config: RepairConfig, cache: Path, report: Report) -> Repair:
    plan, done = _sound_plan(cache, report), Repair()
    before = _fingerprints(cache, report)
    _remove_unlisted(cache, report, done)
    if extents := [name for name in report.damaged if name.startswith("extents/")]:
        repair_extents(cache, plan, [int(name.rpartition("/")[2]) for name in extents])
        done.redone |= dict.fromkeys(extents, "proved by its digest")
        report = verify_cache(cache)
    wanting = dict.fromkeys([*report.damaged, *report.missing])
    targets = [name for name in wanting if not name.startswith("extents/") and name not in report.unlisted]
    if targets:
        done.redone |= _redo(config, cache, plan, targets)
    after = {name: _fingerprint(cache / name, kind) for name, kind in survey(cache).folders.items()}
    if changed := [name for name, digest in before.items() if after.get(name) != digest]:
        raise CacheDamagedError(
            f"these folders changed during the repair, by another program or disk: {', '.join(changed)}"
        )
    done.untouched = len(before)
    return done


def _redo(config: RepairConfig, cache: Path, plan: Plan, targets: list[str]) -> dict[str, str]:
    """Make these folders again; how each compares with what was published."""
    if config.teacher is None or not config.corpus:
        raise ConfigurationError(f"--repair needs --teacher and --corpus to dump these again: {', '.join(targets)}")
    mixed = config.mixed_environment
    sources = open_sources(cache, plan, config.teacher, config.corpus, config.device, mixed)
    redo = Redo(cache, plan, sources, mixed)
    redo.run(targets)
    return redo.done


def _sound_plan(root: Path, report: Report) -> Plan:
    if "plan" in report.damaged or "plan" in report.missing:
        raise CacheDamagedError(
            f"{plan_path(root)} is damaged or missing and decides everything else, so it cannot be made again: restore that "
            "folder from a copy of the cache, or dump again into a new directory"
        )
    return PublishedFolder(plan_path(root), "plan").parsed(Plan)


def _fingerprints(root: Path, report: Report) -> dict[str, str]:
    """SHA-256 of every folder that is sound."""
    names = [(name, kind) for name, kind in survey(root).folders.items() if name not in report.damaged]
    return {name: _fingerprint(root / name, kind) for name, kind in names if name not in report.unlisted}


def _fingerprint(path: Path, kind: str) -> str:
    """SHA-256 over the names and bytes of a folder's document and of all files that it lists."""
    digest = hashlib.sha256()
    for name in (document_name(kind), *sorted(PublishedFolder(path, kind).document["files"])):
        digest.update(f"{name}\n".encode())
        digest.update(hashlib.sha256((path / name).read_bytes()).digest())
    return digest.hexdigest()


def _remove_unlisted(root: Path, report: Report, done: Repair) -> None:
    """What lies inside a sound published folder; what lies beside them may be somebody's own and is left alone."""
    inside = [f"{name}/" for name in survey(root).folders if name not in report.unlisted]
    for name in sorted(report.unlisted, reverse=True):
        if any(name.startswith(folder) for folder in inside):
            discard(root / name)
            done.removed.append(name)


def _describe(done: Repair) -> Iterator[str]:
    for name, how in done.redone.items():
        yield f"repaired {name}: {how}"
    for name in done.removed:
        yield f"removed {name}"
    yield f"left alone: {done.untouched} folders, the same bytes before and after"
