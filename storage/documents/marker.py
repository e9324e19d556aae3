"""Markers: the documents of segments and shards (SPEC.md, section 5)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from .measured import Fidelity, Mean
from .parse import Document, Record
from .values import Natural, Split


@dataclass(frozen=True, kw_only=True, slots=True)
class Marker(Document):
    """The place of a folder of segments or signals."""

    KIND: ClassVar[str] = "marker"

    parent: str
    """The digest of the plan for segments, of the calibration for shards."""
    split: Split
    number: Natural
    """The number of the folder within its split."""
    start: Natural
    """The first example."""
    stop: Natural
    """One past the last example."""

    @property
    def count(self) -> int:
        """The number of examples."""
        return self.stop - self.start


@dataclass(frozen=True, kw_only=True, slots=True)
class Cursor(Record):
    """A place in the stream of documents."""

    document: Natural
    """The number of the document."""
    offset: Natural
    """The number of its tokens before this place."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PackingCounts(Record):
    """What became of the documents between the beginning and the end of a folder of raw ids."""

    tokens: Natural
    """The number of ids, for pairs and texts with EOS."""
    unknown: Natural
    """The number of ids that stand for characters that the vocabulary lacks."""
    blank: Natural
    """The number of documents that were left out, because a text is blank or yields no token."""
    broken: Natural
    """The number of documents with control characters or characters that could not be decoded."""
    cut_inputs: Natural
    """The number of pairs and texts whose input was longer than allowed."""
    cut_targets: Natural
    duplicates: Natural | None = None
    """The number of documents that were left out, because the same came before; None for none."""
    unproven: Natural | None = None
    """The number of cuts inside documents at which the ids may not be the ids of the whole document; None for no cut."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SegmentsMarker(Marker):
    """The marker of a folder of raw ids."""

    next: Cursor
    """Where the next folder begins."""
    exhausted: bool
    """Whether all corpora ended in this folder."""
    counts: PackingCounts | None = None
    """What became of its documents; None in some caches."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardMarker(Marker):
    """The marker of a folder of signals."""

    tokens: Mapping[str, Natural]
    """The number of tokens by axis."""
    fidelity: Fidelity
    """What was measured on some of the shard's examples."""
    teacher_cross_entropy: Mean | None = None
    """The teacher's own loss in nats, over target tokens; None for an encoder without decoder."""
