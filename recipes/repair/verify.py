"""`miniend verify`: read every byte of a cache, and compare it with what was published and the folders with each other.

It reports all damage, not only the first. If the plan, an extent or the calibration is damaged, what depends on it is not
checked, but every folder's own seal is. Names that start with a dot do not belong to a cache and are only mentioned.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from ...cache.codecs import read_codecs, read_logit_code, read_state_head
from ...cache.contents import (
    read_calibration,
    read_plan,
    read_segments,
    read_shard,
    require_configuration,
    require_known_kinds,
)
from ...cache.filters import read_filters
from ...cache.logit_columns import read_logits
from ...errors import CacheMismatchError, MiniEndError, damaged
from ...models.families import family_named
from ...runtime.printing import Verdict
from ...runtime.progress import progress_bar
from ...runtime.showing import Shown, facts
from ...storage.contents import check_values
from ...storage.documents.calibration import Calibration
from ...storage.documents.extent import Extent
from ...storage.documents.filters import Filters
from ...storage.documents.marker import Marker, SegmentsMarker, ShardMarker
from ...storage.documents.parse import Document
from ...storage.folder import PublishedFolder
from ...storage.layout import SPLITS, ShardRange, no_cache, read_extent, shard_table
from ...storage.markers import check_place
from ...storage.stores.place import Place, Where, place_of
from ...storage.survey import Survey, numbered, survey

NAMED = 1000
"""The most numbers to name of a gap in the numbers of folders. Only a foreign folder can make a wider gap."""
ORPHAN = "it is not in the shard table: an extent is lost (dump-teacher with its --examples restores it), or the shard is foreign"
D = TypeVar("D", bound=Document)


@dataclass(kw_only=True, slots=True, repr=False)
class VerifyReport(Shown):
    """The state of a cache. Folders and files are named by their path relative to the cache."""

    cache: str
    """The directory or URL of the cache."""
    folders: int = 0
    """The number of published folders that were read."""
    bytes: int = 0
    """The bytes of their files, documents included."""
    damaged: dict[str, list[str]] = field(default_factory=dict)
    """A sentence for each damage, by folder."""
    unlisted: list[str] = field(default_factory=list)
    """Files, links and folders that nobody published."""
    missing: list[str] = field(default_factory=list)
    """Folders that plan and extents require and that do not exist: the dump is unfinished, or they are lost."""
    leftovers: list[str] = field(default_factory=list)
    """Names that start with a dot, which are harmless."""
    shards: tuple[int, int] = (0, 0)
    """The numbers of published shards, and of shards that plan and extents require."""

    @property
    def sound(self) -> bool:
        """Whether everything in the cache is as it was published, and nothing else is there."""
        return not self.damaged and not self.unlisted

    def as_json(self) -> dict[str, Any]:
        """Return the object that `--json` prints."""
        members = ("folders", "bytes", "damaged", "unlisted", "missing", "leftovers")
        return {"sound": self.sound, **{name: getattr(self, name) for name in members}, "shards": list(self.shards)}

    def lines(self) -> Iterable[str]:
        """Return the lines that `miniend verify` prints."""
        return describe(self)

    def html(self) -> Iterable[str]:
        """Return the table for a notebook: what is wrong, and the sum."""
        *named, summary = describe(self)
        rows = [line.partition(": ") for line in named]
        return [facts([("sound" if self.sound else "damaged", summary), *((row[0], row[2]) for row in rows)]).html()]


def verify_cache(where: Where) -> VerifyReport:
    """Read all of a cache; from an object store read everything, even what the mirror has.

    Raises CacheMismatchError if there is not a cache.
    """
    root = place_of(where)
    contents = survey(root)
    if not contents.folders:
        raise no_cache(root)
    with progress_bar("verify", len(contents.folders), "folder") as bar:
        return _Verifier(root, contents, bar).report


def _nothing(_folder: PublishedFolder, _document: Document) -> None:
    """Look at no values."""


class _Verifier:
    """One pass over a cache: plan, extents, calibration, segments, shards. Each is checked with the sound ones before it."""

    def __init__(self, root: Place, contents: Survey, bar: Any) -> None:
        self.report = VerifyReport(
            cache=str(root), unlisted=list(contents.strangers), leftovers=list(contents.leftovers)
        )
        self._root, self._contents, self._bar = root, contents, bar
        self._plan = self._read(
            "plan", read_plan, lambda folder, plan: require_configuration(folder, plan.teacher.config)
        )
        if self._plan is not None:
            require_known_kinds(self._plan, root)
        self._totals, self._all_extents = self._extents()
        self._calibration = self._read_calibration()
        self._filters()
        self._segments()
        self._shards()

    def _read(
        self, name: str, read: Callable[[PublishedFolder], D], look: Callable[[PublishedFolder, D], None] = _nothing
    ) -> D | None:
        """Read one whole folder and return its document; None if it is missing or cannot be relied on.

        `read` returns the document after checking it. Only then do we read the files, since it says how large they may be. `look`
        checks the values of sound files.
        """
        if name not in self._contents.folders:
            return None
        self._bar.update()
        self.report.folders += 1
        try:
            folder = PublishedFolder(self._root / name, self._contents.folders[name])
        except MiniEndError as error:
            self._damage(name, error)
            return None
        self.report.bytes += folder.total_bytes
        self.report.unlisted += [f"{name}/{path}" for path in folder.unlisted()]
        try:
            document = read(folder)
        except MiniEndError as error:
            self._damage(name, error)
            return None
        for sentence in folder.damage():
            self._damage(name, sentence)
        try:
            if name not in self.report.damaged:
                look(folder, document)
        except MiniEndError as error:
            self._damage(name, error)
        return document

    def _damage(self, name: str, what: object) -> None:
        sentences = self.report.damaged.setdefault(name, [])
        if str(what) not in sentences:
            sentences.append(str(what))

    def _lost(self, name: str, why: str) -> None:
        self.report.missing.append(name)
        self._damage(name, f"{self._root / name} is missing: {why}")

    def _extents(self) -> tuple[list[int], bool]:
        """Return the totals of the extents that can be relied on, and whether these are all."""
        names = [name for name, kind in self._contents.folders.items() if kind == "extent"]
        extents: list[Extent] = []
        chained = self._plan is not None
        for number in _counted([int(name.rpartition("/")[2]) for name in names]):
            name = f"extents/{number:06d}"
            if name not in names:
                self._lost(name, "later extents exist; restore it")
            extent = self._read(name, partial(self._extent, extents if chained else None))
            chained = chained and extent is not None
            extents += [extent] if chained and extent is not None else []
        return [extent.examples for extent in extents], chained

    def _extent(self, before: list[Extent] | None, folder: PublishedFolder) -> Extent:
        """Return an extent, after comparing it with the earlier ones; if these cannot be relied on, check only its form."""
        if before is None or self._plan is None:
            return folder.parsed(Extent)
        extent = read_extent(folder, before[-1] if before else None, self._plan.digest)
        if extent.shard_examples != self._plan.shard_examples:
            raise damaged(folder.path, "its shard_examples differ from the plan's")
        return extent

    def _read_calibration(self) -> Calibration | None:
        if self._plan is None and "plan" not in self._contents.folders:
            self._lost("plan", "restore it from a copy of this cache, or dump again")
        if "calibration" not in self._contents.folders and any(self._names("shards")):
            self._lost("calibration", "the shards cannot be decoded without it")
        elif "calibration" not in self._contents.folders and self._totals:
            self.report.missing.append("calibration")
        return self._read("calibration", self._calibration_of, self._look_at_codes)

    def _calibration_of(self, folder: PublishedFolder) -> Calibration:
        calibration = folder.parsed(Calibration)
        if self._plan is None:
            return calibration
        if calibration.parent != self._plan.digest:
            raise CacheMismatchError(f"{folder.path} belongs to another plan: put the right folder back")
        return read_calibration(folder, self._plan)

    def _look_at_codes(self, folder: PublishedFolder, calibration: Calibration) -> None:
        """Check the numbers of the codes and of the head, and the order of the ids."""
        if self._plan is not None:
            read_codecs(folder, calibration)
            read_logit_code(folder, self._plan)
            read_state_head(folder, self._plan)

    def _filters(self) -> None:
        def look(folder: PublishedFolder, _document: Filters) -> None:
            if self._plan is not None:
                read_filters(folder, self._plan)

        self._read("filters", lambda folder: folder.parsed(Filters), look)

    def _segments(self) -> None:
        for split in SPLITS:
            stop, exhausted, numbers = 0, False, self._numbers("segments", split)
            for number in _counted(numbers):
                name = f"segments/{split}-{number:06d}"
                if number not in numbers:
                    self.report.missing.append(name)
                marker = self._read(name, partial(self._segments_of, number, stop), self._look_at_values)
                stop = marker.stop if marker else -1
                exhausted = marker is not None and marker.exhausted
            if 0 <= stop < self._wanted(split) and not exhausted:
                self.report.missing.append(f"segments/{split}-{max(numbers, default=-1) + 1:06d}")

    def _wanted(self, split: str) -> int:
        """Return how many segments the extents need; 0 if that is not known."""
        if self._plan is None or not self._totals:
            return 0
        return self._plan.validation_examples if split == "validation" else self._totals[-1]

    def _segments_of(self, number: int, start: int, folder: PublishedFolder) -> SegmentsMarker:
        """Return the marker of segments; a negative `start` says that the previous folder is not known."""
        own = folder.parsed(SegmentsMarker)
        place = ShardRange(numbered(folder.path.name)[0], number, own.start if start < 0 else start, own.stop)
        check_place(folder, place, own.parent if self._plan is None else self._plan.digest)
        if self._plan is not None:
            read_segments(folder, self._plan)
        return own

    def _shards(self) -> None:
        table = {f"shards/{place.name}": place for place in self._table()}
        known = self._plan is not None and self._all_extents
        for name in self._names("shards"):
            if known and name not in table:
                self.report.unlisted.append(name)
            self._read(name, partial(self._shard_of, table.get(name)), self._look_at_shard)
        self.report.missing += [name for name in table if name not in self._contents.folders]
        self.report.shards = (sum(name in self._contents.folders for name in table), len(table))

    def _table(self) -> list[ShardRange]:
        if self._plan is None:
            return []
        try:
            return shard_table(self._plan.validation_examples, self._totals, self._plan.shard_examples)
        except MiniEndError as error:
            self._damage("plan", error)
            return []

    def _shard_of(self, place: ShardRange | None, folder: PublishedFolder) -> ShardMarker:
        own = folder.parsed(ShardMarker)
        here = place or ShardRange(*numbered(folder.path.name), own.start, own.stop)
        check_place(folder, here, own.parent if self._calibration is None else self._calibration.digest)
        if self._plan is not None and self._calibration is not None:
            read_shard(folder, self._plan, self._calibration)
        return own

    def _look_at_values(self, folder: PublishedFolder, _marker: Marker) -> None:
        """Check offsets and ids."""
        if self._plan is None:
            return
        for name in folder.columns:
            if name.endswith((".offsets", ".ids")):
                check_values(folder, name, folder.column(name), self._plan.tokenizer.size)

    def _look_at_shard(self, folder: PublishedFolder, marker: ShardMarker) -> None:
        """Check offsets, ids and distributions."""
        self._look_at_values(folder, marker)
        plan = self._plan
        if plan is not None and plan.signals.logits and self._calibration is not None:
            positions = marker.tokens[family_named(plan.teacher.facts.model_type).label_axis]
            read_logits(folder, plan.signals.logits.kind, plan.tokenizer.size, positions)

    def _names(self, group: str) -> list[str]:
        return [name for name in self._contents.folders if name.startswith(f"{group}/")]

    def _numbers(self, group: str, split: str) -> list[int]:
        folders = [numbered(name) for name in self._names(group)]
        return sorted(number for of, number in folders if of == split)


def _counted(numbers: list[int]) -> list[int]:
    """Return the numbers and the missing ones between them; of a wide gap only the first NAMED."""
    counted: list[int] = []
    for number in sorted(numbers):
        first = counted[-1] + 1 if counted else 0
        counted += [*range(first, min(number, first + NAMED)), number]
    return counted


def describe(report: VerifyReport) -> Iterator[str]:
    """Yield the lines that `miniend verify` prints: one for each damaged folder and unlisted file, then a summary."""
    for name, sentences in report.damaged.items():
        yield f"{name}: {'; '.join(sentences)}"
    for name in report.unlisted:
        orphan = name.startswith("shards/") and name.count("/") == 1
        yield f"{name}: {ORPHAN if orphan else 'nobody published this; remove it'}"
    for name in report.leftovers:
        yield f"{name}: left by a running or killed dump; harmless"
    published, planned = report.shards
    if report.missing:
        yield f"unfinished: {published:,} of {planned:,} shards; missing: {', '.join(report.missing)}"
    read = f"{report.folders} folders, {report.bytes:,} bytes"
    if report.sound:
        yield Verdict(f"{report.cache} is sound: {read}")
    else:
        yield Verdict(
            f"{report.cache} is damaged: {len(report.damaged):,} of {report.folders:,} folders, {len(report.unlisted)} files or "
            f"folders unlisted; {report.bytes:,} bytes were read"
        )
