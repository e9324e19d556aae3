"""`miniend push-cache`: upload a cache to the hub as a data set.

A commit has whole folders. The plan, without which nobody opens a cache, comes with the last one. So a reader sees the cache as
it was before, or as it is now. After an interruption, the same command goes on with what is missing.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ...cache import open_cache
from ...errors import CacheDamagedError, CacheMismatchError, ConfigurationError
from ...runtime.progress import Log, progress_bar, size_text
from ...storage.folder import PublishedFolder
from ...storage.inventory import document_name
from ...storage.stores.place import place_of
from ...storage.survey import survey
from ..repair.verify import verify_cache
from .card import cache_card
from .config import PushCacheConfig
from .front_matter import with_license
from .repository import README, Content, Repository, tags_of

FILES, BYTES = 500, 2_000_000_000
"""After so many files or bytes a commit ends; the hub takes some thousands of files, but not for ever."""
LAST = ("extents", "calibration", "plan")
"""The groups of folders that the last commit has."""


@dataclass(frozen=True, slots=True)
class _Folder:
    """A published folder, and which of its files the hub lacks."""

    name: str
    missing: dict[str, Content]
    bytes: int


def push_cache(config: PushCacheConfig, log: Log) -> str:
    """Upload a cache, or what the hub lacks of it, and return the URL under which every command reads it.

    Raises CacheUnfinishedError and CacheDamagedError for a cache that should not be shared, CacheMismatchError if the data set
    holds another cache, and ConfigurationError or ObjectStoreError if the hub refuses.
    """
    cache = _checked(config, log)
    repository = Repository("dataset", config.name)
    repository.create(config.hub_private_repo)
    there = repository.files()
    _require_same_plan(cache, repository, there)
    folders = [_compared(cache, name, kind, there) for name, kind in sorted(survey(cache).folders.items())]
    missing = sum(folder.bytes for folder in folders)
    log(f"{config.cache}: {size_text(missing) if missing else 'nothing'} to upload to {repository.page}")
    with progress_bar("upload", missing, "B", scaled=True) as bar:
        first = [folder for folder in folders if not folder.name.startswith(LAST)]
        for part in _parts(first):
            repository.commit(_files(part), f"{len(part)} folders of the cache")
            bar.update(sum(folder.bytes for folder in part))
        last = [folder for folder in folders if folder.name.startswith(LAST)]
        card = cache_card(config.name, cache)
        if README in there:
            card = with_license(card, repository.text(README))
        repository.commit({**_files(last), README: card.encode()}, "Plan and card of the cache")
        bar.update(sum(folder.bytes for folder in last))
    log(f"uploaded: train with --cache {repository.url}; its license is for you to say, in the README.md there")
    return repository.url


def _checked(config: PushCacheConfig, log: Log) -> Path:
    """Return the path of the cache. Raise an error unless it may be shared."""
    place = place_of(config.cache)
    if place.bucket is not None:
        raise ConfigurationError(
            f"{config.cache}: expected a directory; copy the cache to one, and upload it from there"
        )
    open_cache(place, allow_unfinished=config.allow_unfinished)
    if config.verify:
        log(f"reading every byte of {config.cache}")
        report = verify_cache(place)
        if not report.sound:
            raise CacheDamagedError(
                f"{config.cache} is not sound: {next(iter(_faults(report.damaged, report.unlisted)))}. See `miniend verify "
                f"{config.cache}`, and --repair there; or upload it as it is, with --no-verify"
            )
    return place.local


def _faults(damaged: dict[str, list[str]], unlisted: list[str]) -> Iterator[str]:
    yield from (sentence for sentences in damaged.values() for sentence in sentences)
    yield from (f"{name} does not belong to it" for name in unlisted)


def _require_same_plan(cache: Path, repository: Repository, there: dict[str, tuple[int, str]]) -> None:
    plan = "plan/plan.json"
    if plan in there and there[plan][1] not in tags_of(cache / plan):
        raise CacheMismatchError(
            f"{repository.page} holds another cache; upload this one under another name, or delete that data set first"
        )


def _compared(cache: Path, name: str, kind: str, there: dict[str, tuple[int, str]]) -> _Folder:
    """Return a folder with the files that the hub does not have as they are here."""
    folder, missing = PublishedFolder(cache / name, kind), {}
    digests = {path: entry["sha256"] for path, entry in folder.document["files"].items()}
    for path, digest in {**digests, document_name(kind): None}.items():
        local, key = cache / name / path, f"{name}/{path}"
        size, tag = there.get(key, (-1, ""))
        if size != local.stat().st_size or tag not in tags_of(local, digest):
            missing[key] = local
    return _Folder(name, dict(missing), sum(path.stat().st_size for path in missing.values()))


def _parts(folders: list[_Folder]) -> Iterator[list[_Folder]]:
    """Yield the folders of each commit; nothing is to do for those that the hub has."""
    part: list[_Folder] = []
    for folder in folders:
        if not folder.missing:
            continue
        files = len(_files([*part, folder]))
        if part and (files > FILES or sum(one.bytes for one in [*part, folder]) > BYTES):
            yield part
            part = []
        part.append(folder)
    if part:
        yield part


def _files(folders: list[_Folder]) -> dict[str, Content]:
    return {key: path for folder in folders for key, path in folder.missing.items()}
