"""Segments on disk: the corpus as raw ids, published before the teacher runs, so that reading any example is O(1).

One sequential pass writes folders `segments/SPLIT-N`. Each records the cursor at which the next one begins, so that a resumed or
enlarged dump continues where the last one stopped. The validation segments come first, from whole documents chosen by a hash of
(seed, document index), until there are enough. Training never uses those documents. A document's index counts
in the mixed and shuffled stream (`mixture.py`), which we read again from its beginning up to the cursor.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from itertools import islice, repeat

import numpy as np

from ...cache.contents import segment_names
from ...errors import CorpusError
from ...runtime.progress import Progress, progress_bar
from ...storage.columns.columns import Column
from ...storage.documents.marker import Cursor, Marker, PackingCounts, SegmentsMarker
from ...storage.documents.plan import Plan
from ...storage.folder import PublishedFolder, folder_exists, publish_or_accept
from ...storage.layout import ShardRange, segment_path
from ...storage.markers import check_place, marker_members, open_marked
from ...storage.stores.place import Where, place_of
from ..corpus.corpus import Document
from ..corpus.duplicates import without_duplicates
from ..corpus.plain_text import EncodeBatch
from .packing import START, SegmentCursor, Tally, is_validation, pack_segments, pack_texts
from .span_corruption import drawn_lengths, lengths
from .text_form import TextForm

SEGMENTS_PER_FOLDER = 4096
LENGTH_STREAMS = {"train": 5, "validation": 6}
"""The random streams of the lengths of segments; see `example_rng`."""


@dataclass(frozen=True, slots=True)
class TextSource:
    """The documents of a dump, and how they become ids."""

    documents: Callable[[], Iterator[Document]]
    """A function that begins the stream anew."""
    encode: EncodeBatch
    unknown_id: int | None
    """The id that stands for characters that the vocabulary lacks, or None."""


Segment = tuple[np.ndarray, ...]
"""The parts of a segment: (ids,) for span corruption, (inputs, targets) for pairs, (inputs,) for text."""


@dataclass(frozen=True, slots=True)
class _Packing:
    """Segments from a cursor on, and the counts of what was left out for them."""

    segments: Iterator[tuple[Segment, SegmentCursor]]
    tally: Tally


@dataclass(frozen=True, slots=True)
class _Folder:
    """A published folder of segments and its marker."""

    folder: PublishedFolder
    marker: SegmentsMarker


class _Folders(list[_Folder]):
    """The published folders of a split, in order; a folder of an exhausted corpus may be empty."""

    def __init__(self) -> None:
        super().__init__()
        self._stops: list[int] = []

    def append(self, one: _Folder) -> None:
        super().append(one)
        self._stops.append(one.marker.stop)

    @property
    def total(self) -> int:
        """The number of published segments."""
        return self._stops[-1] if self else 0

    def place_of(self, index: int) -> int:
        """Return the number of the folder that holds a segment, from 0. Raises IndexError for a segment that is not published."""
        if not 0 <= index < self.total:
            raise IndexError(f"expected a segment below {self.total:,}, found {index:,}")
        return bisect_right(self._stops, index)  # the first folder that ends after it


class SegmentStore:
    """The published segments of a cache."""

    def __init__(self, root: Where, plan: Plan) -> None:
        self._root, self._plan = place_of(root), plan
        self._folders = {"validation": _Folders(), "train": _Folders()}
        self._open: dict[tuple[str, int], list[Segment]] = {}
        for split in self._folders:
            self._discover(split)

    def count(self, split: str) -> int:
        """Return the number of published segments."""
        return self._folders[split].total

    def exhausted(self, split: str) -> bool:
        """Return whether the corpus has been read to its end for this split."""
        folders = self._folders[split]
        return bool(folders) and folders[-1].marker.exhausted

    def segment(self, split: str, index: int) -> Segment:
        """Return one segment; we read and check its folder once. Raises IndexError for one that is not published."""
        number = self._folders[split].place_of(index)
        one = self._folders[split][number]
        if (split, number) not in self._open:
            self._open = {(split, number): _read_segments(one.folder)}
        return self._open[split, number][index - one.marker.start]

    def ensure(self, validation: int, train: int, source: TextSource) -> None:
        """Publish the missing segments. Raises CorpusError if the corpus cannot fill the validation set."""
        self._extend("validation", validation, source)
        if self.count("validation") < validation:
            self._extend("train", train, source)
            raise CorpusError(
                f"the corpus is too short: its validation documents fill {self.count('validation'):,} of {validation:,} "
                f"validation examples, the others {self.count('train'):,} of {train:,} training examples; ask for fewer, or give "
                "more text. Validation needs whole documents: a corpus of a few long ones must be cut into shorter ones"
            )
        self._extend("train", train, source)

    def counts(self) -> list[PackingCounts]:
        """Return the counts of every published folder that has them."""
        return [one.marker.counts for folders in self._folders.values() for one in folders if one.marker.counts]

    def _extend(self, split: str, wanted: int, source: TextSource) -> None:
        if self.count(split) >= wanted or self.exhausted(split):
            return
        cursor = self._next(split)
        packing = self._pack(split, source, cursor)
        with progress_bar(f"segments ({split})", wanted, "segment", initial=self.count(split)) as bar:
            while self.count(split) < wanted and not self.exhausted(split):
                asked = min(SEGMENTS_PER_FOLDER, wanted - self.count(split))
                before = replace(packing.tally)
                batch = list(_counted(islice(packing.segments, asked), bar))
                ended = len(batch) < asked
                counts = self._counts([segment for segment, _ in batch], before, packing.tally, source.unknown_id)
                self._publish(split, batch, cursor, ended, counts)
                cursor = batch[-1][1] if batch else cursor
                if cursor != self._next(
                    split
                ):  # another worker, with another number of examples, published other folders
                    cursor = self._next(split)
                    packing = self._pack(split, source, cursor)

    def _next(self, split: str) -> SegmentCursor:
        """Return where in the corpus the next folder begins."""
        folders = self._folders[split]
        return SegmentCursor(folders[-1].marker.next.document, folders[-1].marker.next.offset) if folders else START

    def _pack(self, split: str, source: TextSource, start: SegmentCursor) -> _Packing:
        tally = Tally()
        documents = source.documents()
        if self._plan.corpus.distinct:
            documents = without_duplicates(documents)
        chosen = ((index, texts) for index, texts in enumerate(documents) if self._belongs(split, index))
        return _Packing(self._packed(split, chosen, source.encode, start, tally), tally)

    def _packed(
        self,
        split: str,
        chosen: Iterator[tuple[int, Document]],
        encode: EncodeBatch,
        start: SegmentCursor,
        tally: Tally,
    ) -> Iterator[tuple[Segment, SegmentCursor]]:
        task = self._plan.task
        if task.corruption is None:
            longest = (task.input_length, *([task.target_length] if task.target_length else []))
            eos_id = self._plan.tokenizer.eos_id
            form = TextForm.of(task, self._plan.teacher.pad_id)
            yield from pack_texts(chosen, encode, longest, eos_id, start, tally, form)
        else:
            texts_only = ((index, texts[0]) for index, texts in chosen)
            for ids_, after in pack_segments(texts_only, encode, self._lengths(split), start, tally):
                yield (ids_,), after

    def _lengths(self, split: str) -> Iterator[int]:
        """Return the lengths of the segments that follow the published ones."""
        corruption = self._plan.task.corrupted
        if corruption.shortest_input_length is None:
            return repeat(corruption.segment_length)
        spans = (corruption.noise_density, corruption.mean_span)
        shortest = lengths(corruption.shortest_input_length, *spans).segment
        seed, stream = self._plan.seed, LENGTH_STREAMS[split]
        return drawn_lengths(seed, stream, self.count(split), shortest, corruption.segment_length)

    def _counts(self, segments: list[Segment], before: Tally, after: Tally, unknown_id: int | None) -> PackingCounts:
        """Return the counts of some segments, from the tally before them and after them."""
        parts = [part for segment in segments for part in segment]
        left = {name: value - getattr(before, name) for name, value in asdict(after).items()}
        unknown = 0 if unknown_id is None else sum(int((part == unknown_id).sum()) for part in parts)
        duplicates, unproven = (
            left.pop(name) or None for name in ("duplicates", "unproven")
        )  # absent where they are 0
        return PackingCounts(
            tokens=sum(part.size for part in parts),
            unknown=unknown,
            duplicates=duplicates,
            unproven=unproven,
            **left,
        )

    def _belongs(self, split: str, document: int) -> bool:
        chosen = is_validation(self._plan.seed, document, self._plan.derived.validation_share)
        if split == "validation":
            return chosen
        folders = self._folders["validation"]
        return not (chosen and folders and document <= folders[-1].marker.next.document)

    def _publish(
        self,
        split: str,
        batch: list[tuple[Segment, SegmentCursor]],
        cursor: SegmentCursor,
        exhausted: bool,
        counts: PackingCounts,
    ) -> None:
        number, start = len(self._folders[split]), self.count(split)
        after = batch[-1][1] if batch else cursor
        place = ShardRange(split, number, start, start + len(batch))
        marker = SegmentsMarker(
            **marker_members(place, self._plan.digest),
            next=Cursor(document=after.document, offset=after.offset),
            exhausted=exhausted,
            counts=counts,
        )
        columns: dict[str, Column] = {}
        for part, name in enumerate(segment_names(self._plan)):
            columns |= ragged_columns(name, [segment[part] for segment, _ in batch], "token")
        path = segment_path(self._root, split, number)
        publish_or_accept(path, "marker", marker.body(), columns, codec=self._plan.codec)
        # only this folder, because a race may have published more; the next rounds look at those
        self._add(place, open_marked(path, place, self._plan.digest))

    def _discover(self, split: str) -> None:
        folders = self._folders[split]
        while folder_exists(path := segment_path(self._root, split, len(folders)), "marker"):
            folder = PublishedFolder(path, "marker", fresh=True)
            place = ShardRange(split, len(folders), self.count(split), folder.parsed(Marker).stop)
            check_place(folder, place, self._plan.digest)
            self._add(place, folder)

    def _add(self, place: ShardRange, folder: PublishedFolder) -> None:
        self._folders[place.split].append(_Folder(folder, folder.parsed(SegmentsMarker)))


def _counted(
    segments: Iterator[tuple[Segment, SegmentCursor]], bar: Progress
) -> Iterator[tuple[Segment, SegmentCursor]]:
    for one in segments:
        yield one
        bar.update()


def ragged_columns(name: str, rows: list[np.ndarray], axis: str) -> dict[str, Column]:
    """Return rows of ids, end to end, as `NAME.ids` on an axis, with `NAME.offsets` [rows + 1] on the axis `example`."""
    lengths = np.array([len(row) for row in rows], dtype=np.int64)
    ids = np.concatenate(rows) if rows else np.empty(0, dtype=np.int32)
    return {
        f"{name}.ids": Column(values=ids.astype(np.uint32), axis=axis),
        f"{name}.offsets": Column(values=np.concatenate([[0], lengths.cumsum()]).astype(np.int64), axis="example"),
    }


def _read_segments(folder: PublishedFolder) -> list[Segment]:
    parts = []
    for name in (one for one in ("segments", "inputs", "targets") if f"{one}.ids" in folder.columns):
        ids, offsets = folder.column(f"{name}.ids").astype(np.int32), folder.column(f"{name}.offsets")
        parts.append([ids[offsets[i] : offsets[i + 1]] for i in range(len(offsets) - 1)])
    return list(zip(*parts, strict=True))
