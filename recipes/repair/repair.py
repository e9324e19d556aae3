"""`miniend verify --repair`: dump again what is damaged or missing, and show that the rest did not change.

Everything except the teacher and the corpus comes from the plan, so you need not remember how the cache was dumped.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ...errors import CacheDamagedError, ConfigurationError
from ...runtime.claims import Claims
from ...runtime.printing import Result
from ...runtime.progress import Log, progress_bar
from ...storage.documents.plan import Plan
from ...storage.folder import PublishedFolder
from ...storage.inventory import document_name
from ...storage.layout import filters_path, plan_path
from ...storage.stores.place import place_of
from ...storage.survey import survey
from ...teacher_dump.dump import PREPARATION
from .aside import discard
from .config import RepairConfig
from .extents import repair_extents
from .folders import Redo, open_sources
from .verify import VerifyReport, verify_cache


@dataclass(kw_only=True, slots=True)
class Repair:
    """The changes of a repair. Folders are named by their path relative to the cache."""

    redone: dict[str, str] = field(default_factory=dict)
    """How each folder that was made again compares with what was published."""
    removed: list[str] = field(default_factory=list)
    """The unlisted files and folders that were removed from published folders."""
    untouched: int = 0
    """The number of folders whose bytes are the same before and after."""


def repair_cache(config: RepairConfig, log: Log) -> Repair:
    """Repair a cache as far as possible; `verify_cache` tells the result.

    Raises CacheDamagedError for a damaged plan and for extents that nothing proves. Raises ConfigurationError while a dump is
    running in the cache, and if teacher or corpus are needed but not given. Raises CacheMismatchError if these do not match the
    plan, or give other values.
    """
    if place_of(config.cache).bucket is not None:
        raise ConfigurationError(
            f"{config.cache}: repair works only on a local directory. Copy the cache to one, repair it, and copy back the "
            "folders that the repair lists; or remove the damaged folders from the store and run dump-teacher again"
        )
    cache = Path(config.cache)
    report = verify_cache(cache)
    with _alone(cache):
        done = _repaired(config, cache, report)
    for line in _describe(done):
        log(Result(line))
    return done


@contextmanager
def _alone(cache: Path) -> Iterator[None]:
    """Inside, no dump starts in this cache. Raises ConfigurationError while one is running."""
    with Claims(cache) as claims:
        if not claims.take(PREPARATION) or claims.of_others():
            raise ConfigurationError(f"{cache}: a dump is running there; repair the cache when it has ended")
        yield


def _repaired(config: RepairConfig, cache: Path, report: VerifyReport) -> Repair:
    plan, done = _sound_plan(cache, report), Repair()
    _require_sound_filters(cache, report)
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
    after = _digests(cache, list(survey(cache).folders.items()), "after")
    if changed := [name for name, digest in before.items() if after.get(name) != digest]:
        raise CacheDamagedError(
            f"these folders changed during the repair, because of another program or the disk: {', '.join(changed)}; run verify"
        )
    done.untouched = len(before)
    return done


def _redo(config: RepairConfig, cache: Path, plan: Plan, targets: list[str]) -> dict[str, str]:
    """Make these folders again, and return how each compares with what was published."""
    if config.teacher is None or not config.corpus:
        raise ConfigurationError(f"--repair needs --teacher and --corpus to dump these again: {', '.join(targets)}")
    redo = Redo(cache, plan, open_sources(cache, plan, config), config.mixed_environment)
    redo.run(targets)
    return redo.done


def _sound_plan(root: Path, report: VerifyReport) -> Plan:
    if "plan" in report.damaged or "plan" in report.missing:
        raise CacheDamagedError(
            f"{plan_path(root)} is damaged or missing. It decides everything else, so it cannot be made again: restore that "
            "folder from a copy of the cache, or dump again into a new directory"
        )
    return PublishedFolder(plan_path(root), "plan").parsed(Plan)


def _require_sound_filters(root: Path, report: VerifyReport) -> None:
    if "filters" in report.damaged:
        raise CacheDamagedError(
            f"{filters_path(root)} is damaged. Filters are trained, on a GPU not to the bit, so they cannot be made again: "
            f"restore that folder from a copy of the cache, or remove it and train others with: miniend filters --cache {root}"
        )


def _fingerprints(root: Path, report: VerifyReport) -> dict[str, str]:
    """Return the SHA-256 of every sound folder."""
    names = [(name, kind) for name, kind in survey(root).folders.items() if name not in report.damaged]
    return _digests(root, [(name, kind) for name, kind in names if name not in report.unlisted], "before")


def _digests(root: Path, names: list[tuple[str, str]], when: str) -> dict[str, str]:
    with progress_bar(f"repair, digests {when}", len(names), "folder") as bar:
        digests = {}
        for name, kind in names:
            digests[name] = _fingerprint(root / name, kind)
            bar.update()
    return digests


def _fingerprint(path: Path, kind: str) -> str:
    """Return the SHA-256 over the names and bytes of a folder's document and of all files that it lists."""
    digest = hashlib.sha256()
    for name in (document_name(kind), *sorted(PublishedFolder(path, kind).document["files"])):
        digest.update(f"{name}\n".encode())
        digest.update(hashlib.sha256((path / name).read_bytes()).digest())
    return digest.hexdigest()


def _remove_unlisted(root: Path, report: VerifyReport, done: Repair) -> None:
    """Remove unlisted files from sound published folders. Files beside these folders may be the user's own and are kept."""
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
    yield f"unchanged: {done.untouched} folders, with the same bytes before and after"
