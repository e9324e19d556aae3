"""`miniend verify --repair`: what is damaged or missing is dumped again, and the rest is shown to be left alone.

Everything but the teacher and the corpus comes from the plan, so nobody has to remember how the cache was dumped. A damaged
folder is set aside by a rename, made again, compared with what is left of the old one, and put back where anything fails.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ..devices import choose_device
from ..errors import CacheDamagedError, CacheMismatchError, ConfigurationError
from ..pretrained import pin_revision
from ..progress import Say, progress_bar
from ..storage.aside import compared, discard, put_back, set_aside
from ..storage.folder import PublishedFolder, publish_folder
from ..storage.layout import calibration_path, plan_path, read_extents, shard_path, shard_table
from ..storage.place import place_of
from ..storage.reading import document_name
from ..storage.survey import SINGLE, survey
from ..teacher_dump.calibrate import calibrate
from ..teacher_dump.corpus import HUB_PREFIX, parse_corpus
from ..teacher_dump.examples import ExampleSource
from ..teacher_dump.mixture import Mixture
from ..teacher_dump.plan import compare_plans, numeric_environment, teacher_body
from ..teacher_dump.segments import SEGMENTS_PER_FOLDER, SegmentStore
from ..teacher_dump.shard import ShardEncoder
from ..teacher_dump.teacher import Teacher, load_teacher
from ..teacher_dump.tokenizer import TextTokenizer
from .repair_extents import repair_extents
from .verify import Report, verify_cache


@dataclass(frozen=True, kw_only=True, slots=True)
class RepairConfig:
    """What `miniend verify --repair` is asked for."""

    cache: Path
    teacher: str | None = None
    """Needed where something must be dumped again, as are the corpora in their order; all are checked against the plan."""
    corpus: tuple[str, ...] = ()
    device: str = "auto"
    mixed_environment: bool = False
    """Repair in another environment than the plan's; values that differ from what is left of a folder are accepted."""


@dataclass(kw_only=True, slots=True)
class Repair:
    """What a repair did; folders by their path relative to the cache."""

    redone: dict[str, str] = field(default_factory=dict)
    """Folder -> how it compares with what was published."""
    removed: list[str] = field(default_factory=list)
    """Unlisted things inside of published folders."""
    untouched: int = 0
    """Folders whose bytes were shown to be the same before and after."""


@dataclass(frozen=True, slots=True)
class _Sources:
    teacher: Teacher
    tokenizer: TextTokenizer
    corpus: Mixture


def repair_cache(config: RepairConfig, say: Say) -> Repair:
    """Mend a cache as far as it can be mended; `verify_cache` tells the result.

    Raises CacheDamagedError for a damaged plan and for extents that nothing proves, ConfigurationError without the teacher or
    the corpus where they are needed, CacheMismatchError where they are not those of the plan, or give other values.
    """
    if place_of(config.cache).bucket is not None:
        raise ConfigurationError(
            f"{config.cache}: repair works on a local directory: copy the cache there, repair it and copy back what it names, or "
            "remove the damaged folders from the store and run dump-teacher again"
        )
    report, done = verify_cache(config.cache), Repair()
    plan = _sound_plan(config.cache, report)
    before = _fingerprints(config.cache, report)
    _remove_unlisted(config.cache, report, done)
    if extents := [name for name in report.damaged if name.startswith("extents/")]:
        repair_extents(config.cache, plan, [int(name.rpartition("/")[2]) for name in extents])
        done.redone |= dict.fromkeys(extents, "proved by its digest")
        report = verify_cache(config.cache)
    wanting = dict.fromkeys([*report.damaged, *report.missing])
    targets = [name for name in wanting if not name.startswith("extents/") and name not in report.unlisted]
    if targets:
        _Redo(config, plan, _open_sources(config, plan, targets), done).run(targets)
    after = {name: _fingerprint(config.cache / name, kind) for name, kind in survey(config.cache).folders.items()}
    if changed := [name for name, digest in before.items() if after.get(name) != digest]:
        raise CacheDamagedError(
            f"these folders changed during the repair, by another program or disk: {', '.join(changed)}"
        )
    done.untouched = len(before)
    for line in _describe(done):
        say(line)
    return done


def _sound_plan(root: Path, report: Report) -> dict[str, Any]:
    if "plan" in report.damaged or "plan" in report.missing:
        raise CacheDamagedError(
            f"{plan_path(root)} is damaged or missing and decides everything else, so it cannot be made again: restore that "
            "folder from a copy of the cache, or dump again into a new directory"
        )
    return PublishedFolder(plan_path(root), "plan").document


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


def _open_sources(config: RepairConfig, plan: dict[str, Any], targets: list[str]) -> _Sources:
    """Teacher, tokenizer and corpus, each held against the plan."""
    if config.teacher is None or not config.corpus:
        raise ConfigurationError(f"--repair needs --teacher and --corpus to dump these again: {', '.join(targets)}")
    mixture = _mixture(config.corpus, plan)
    revision = pin_revision(config.teacher, plan["teacher"]["revision"])
    tokenizer = TextTokenizer.load(config.teacher, revision)
    teacher = load_teacher(config.teacher, plan["teacher"]["dtype"], choose_device(config.device), revision)
    body = {
        "teacher": teacher_body(teacher, plan["teacher"]["dtype"]),
        "tokenizer": tokenizer.describe(plan["objective"]["kind"] == "span-corruption"),
        "corpus": mixture.fingerprint(),
        "environment": numeric_environment(teacher.device, plan["environment"]["threads"]),
    }
    torch.set_num_threads(plan["environment"]["threads"])
    compare_plans(config.cache, plan, body, config.mixed_environment)
    return _Sources(teacher, tokenizer, mixture)


def _mixture(names: tuple[str, ...], plan: dict[str, Any]) -> Mixture:
    """The plan's mixture of these corpora; a hub dataset at the commit of the dump, unless its name says another."""
    planned, corpora = plan["corpus"], []
    if len(names) != len(planned["parts"]):
        raise ConfigurationError(
            f"expected {len(planned['parts'])} --corpus in the order of the dump, found {len(names)}"
        )
    for name, part in zip(names, planned["parts"], strict=True):
        revision = part.get("revision") if name.startswith(HUB_PREFIX) and "@" not in name else None
        full = f"{name}@{revision}" if revision else name
        corpora.append(parse_corpus(full, tuple(planned["fields"]), part.get("split", "train")))
    weights = tuple(float(part["weight"]) for part in planned["parts"])
    mixture = Mixture(
        corpora=tuple(corpora), weights=weights, shuffle_buffer=planned["shuffle_buffer"], seed=plan["seed"]
    )
    return mixture.pinned()


class _Redo:
    """Dumps folders again: segments, then the calibration, then shards."""

    def __init__(self, config: RepairConfig, plan: dict[str, Any], sources: _Sources, done: Repair) -> None:
        self._root, self._mixed, self._plan = config.cache, config.mixed_environment, plan
        self._sources, self._done = sources, done
        self._totals = [int(extent["examples"]) for extent in read_extents(config.cache, plan["sha256"])]

    def run(self, targets: list[str]) -> None:
        """Make these folders again."""
        segments = [name for name in targets if name.startswith("segments/")]
        with self._aside(segments):
            if segments:
                self._segments()
        if "calibration" in targets:
            with self._aside(["calibration"]):
                self._calibrate()
        shards = [name for name in targets if name.startswith("shards/")]
        with self._aside(shards):
            self._dump(shards)

    @contextmanager
    def _aside(self, names: list[str]) -> Iterator[None]:
        """Inside, these folders are out of the way; afterwards each is made again and compared, or stands as it stood."""
        asides = {name: set_aside(self._root / name) for name in names}
        try:
            yield
            for name, aside in asides.items():
                self._settle(name, aside)
        except BaseException:
            for name, aside in asides.items():
                put_back(aside, self._root / name)
            raise

    def _settle(self, name: str, aside: Path) -> None:
        """Compare what was made with what is left of the old folder, and remove that."""
        verdict = compared(aside, PublishedFolder(self._root / name, SINGLE.get(name, "marker")))
        if not verdict and not self._mixed:
            raise CacheMismatchError(
                f"{self._root / name} came out with other values than were published, so it stays as it was: repair it in the "
                "environment of the dump, or accept the new values with --mixed-environment"
            )
        discard(aside)
        self._done.redone[name] = verdict or "made again in another environment, with other values"

    def _segments(self) -> None:
        """What is missing, cut where the runs that planned the extents cut it; each store finds the first gap."""
        validation, corpus = int(self._plan["validation_examples"]), self._sources.corpus
        wanted = [(stop, 0) for stop in _stops([validation])] + [(validation, stop) for stop in _stops(self._totals)]
        before = set(survey(self._root).folders)
        for counts in wanted:
            store = SegmentStore(self._root, self._plan)
            store.ensure(*counts, corpus.documents, self._sources.tokenizer.encode_batch)
        made = [name for name in survey(self._root).folders if name not in before]
        self._done.redone |= dict.fromkeys(made, "made again; nothing was left to compare it with")

    def _calibrate(self) -> None:
        """The calibration of the first extent, or of a later one where the shards say so."""
        source, teacher = ExampleSource(self._root, self._plan), self._sources.teacher
        pinned_by = _parents(self._root)
        for total in self._totals:
            calibrate(self._root, self._plan, teacher, source, total)
            if not pinned_by or PublishedFolder(calibration_path(self._root), "calibration").digest in pinned_by:
                return
            discard(calibration_path(self._root).local)
        raise CacheMismatchError(
            f"{calibration_path(self._root)} came out other than the shards say it was ({', '.join(sorted(pinned_by))}), so it "
            "stays as it was: restore it from a copy, or repair it in the environment of the dump"
        )

    def _dump(self, names: list[str]) -> None:
        if not names:
            return
        plan, calibration = self._plan, PublishedFolder(calibration_path(self._root), "calibration")
        encoder = ShardEncoder(plan, calibration, self._sources.teacher, ExampleSource(self._root, plan))
        table = shard_table(plan["validation_examples"], self._totals, plan["shard_examples"])
        places = [place for place in table if f"shards/{place.name}" in names]
        with progress_bar("repair", len(places), "shard") as bar:
            for place in places:
                encoded, path = encoder.encode(place), shard_path(self._root, place.split, place.number)
                publish_folder(path, "marker", encoded.body, encoded.columns, codec=plan["codec"])
                bar.update()


def _stops(totals: list[int]) -> list[int]:
    """One past the last segment of each folder, as dumps to these totals one after another cut them."""
    stops, count = [], 0
    for total in totals:
        while count < total:
            count += min(SEGMENTS_PER_FOLDER, total - count)
            stops.append(count)
    return stops


def _parents(root: Path) -> set[str]:
    """The calibrations that sound shards name as their parent."""
    markers = [name for name in survey(root).folders if name.startswith("shards/")]
    return {
        str(PublishedFolder(root / name, "marker").document.get("parent")) for name in markers if _opens(root / name)
    }


def _opens(path: Path) -> bool:
    try:
        PublishedFolder(path, "marker")
    except (CacheDamagedError, CacheMismatchError):
        return False
    return True


def _describe(done: Repair) -> Iterator[str]:
    for name, how in done.redone.items():
        yield f"repaired {name}: {how}"
    for name in done.removed:
        yield f"removed {name}"
    yield f"left alone: {done.untouched} folders, the same bytes before and after"
