"""An opened cache: a reader of published folders joined with the decoders, as examples.

`open_cache` and the training loader both stand on this. Opening reads the documents alone (plan, extents, calibration,
markers) and checks that they belong together; a column's bytes are checked against its marker when it is first read.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, overload

import numpy as np
import torch

from .errors import CacheMismatchError, CacheUnfinishedError
from .signals.fidelity import MeanOf
from .signals.logits import decode_top_k, tail_mass
from .signals.site_codec import SiteCodec, column_name, site_codec_from
from .signals.sites import find_site
from .storage.folder import PublishedFolder, folder_exists
from .storage.layout import (
    ShardRange,
    cache_digest,
    calibration_path,
    plan_path,
    read_extents,
    shard_table,
    shards_path,
)
from .storage.markers import open_published
from .storage.place import Place, Where, place_of
from .storage.positions import parse_ranges, positions_text

TOKENIZER_FOLDER = "tokenizer/"

Floats = np.ndarray[Any, np.dtype[np.float32]]
Integers = np.ndarray[Any, np.dtype[np.int32]]


@dataclass(frozen=True, slots=True)
class Factors:
    """Q, K and V of one site for one example, float32 [length, inner] each."""

    query: Floats
    key: Floats
    value: Floats


@dataclass(frozen=True, slots=True)
class TopKLogits:
    """Next-token distributions of one example; ids descend in probability."""

    ids: Integers
    """int32 [targets, k]"""
    log_probabilities: Floats
    """float32 [targets, k], natural logarithms under the full-vocabulary normaliser"""
    tail_mass: Floats
    """float32 [targets], probability of everything that is not kept"""


@dataclass(frozen=True, slots=True)
class Example:
    """One example as a student sees it."""

    input_ids: Integers
    """int32 [n], EOS included"""
    labels: Integers
    """int32 [m], EOS included"""
    relations: Mapping[str, Factors]
    """By full (`encoder.self@11`) or short (`encoder.self`) site name, decoded when asked for."""
    logits: TopKLogits | None


@dataclass(frozen=True, slots=True)
class Shard:
    """One published shard: its place among the examples and its folder."""

    place: ShardRange
    folder: PublishedFolder

    @property
    def examples(self) -> int:
        """Number of examples."""
        return self.place.stop - self.place.start

    @property
    def tokens(self) -> dict[str, int]:
        """Number of tokens on the axes `input` and `target`."""
        return dict(self.folder.document["tokens"])


@dataclass(frozen=True, slots=True)
class Part:
    """What of a cache was opened. Published folders never change, so opening this part again gives the same examples."""

    extents: int
    """How many of the extents."""
    shards: str
    """Positions in the shard table, as `storage/positions.py` writes them."""


class Cache(Sequence[Example]):
    """A finished cache (or, where allowed, what is published of one): the training examples; `validation` holds the rest."""

    def __init__(self, path: Place, allow_unfinished: bool = False, part: Part | None = None) -> None:
        self.path = path
        self.plan = _open(plan_path(path), "plan", f"{path} is no MiniEnD cache: it has no plan")
        digest = self.plan.digest
        self.extents = read_extents(path, digest)[: part.extents if part else None]
        missing = f"{path} is unfinished: it has no calibration yet; run dump-teacher again"
        self.calibration = _open(calibration_path(path), "calibration", missing, unfinished=True)
        _require_parent(self.calibration, digest)
        self.codecs = read_codecs(self.calibration)
        self.table = shard_table(
            self.plan.document["validation_examples"],
            [int(extent["examples"]) for extent in self.extents],
            self.plan.document["shard_examples"],
        )
        wanted = _positions(part, len(self.table))
        opened = self._open_shards(wanted)
        self.shards = list(opened.values())
        self.part = Part(len(self.extents), positions_text(opened))
        self.complete = len(self.shards) == len(wanted)
        if not self.complete and not allow_unfinished:
            raise CacheUnfinishedError(
                f"{path} is unfinished: {len(self.shards)} of {len(wanted)} shards are published; run dump-teacher again, "
                "or use what is there with --allow-unfinished"
            )
        self.digest = cache_digest(self._digests())
        self.training = Split(self, "train")
        self.validation = Split(self, "validation")

    def __len__(self) -> int:
        return len(self.training)

    @overload
    def __getitem__(self, index: int) -> Example: ...
    @overload
    def __getitem__(self, index: slice) -> list[Example]: ...
    def __getitem__(self, index: int | slice) -> Example | list[Example]:
        return self.training[index]

    def tokenizer_files(self) -> dict[str, bytes]:
        """The teacher's tokenizer, as the files that `save_pretrained` writes."""
        names = [name for name in self.plan.document["files"] if name.startswith(TOKENIZER_FOLDER)]
        return {name.removeprefix(TOKENIZER_FOLDER): self.plan.file(name) for name in names}

    def fidelity(self) -> dict[str, dict[str, MeanOf]]:
        """Per site (and `logits`) and kind, the means that the markers hold, added up over all shards."""
        total: dict[str, dict[str, MeanOf]] = {}
        for shard in self.shards:
            for site, kinds in shard.folder.document["fidelity"].items():
                for kind, part in kinds.items():
                    total.setdefault(site, {}).setdefault(kind, MeanOf()).add(part["total"], part["count"])
        return total

    def teacher_cross_entropy(self, split: str) -> float | None:
        """The teacher's own hard-label loss in nats per target token over a split; None where nothing was measured."""
        mean = MeanOf()
        for shard in self.shards:
            if shard.place.split == split:
                part = shard.folder.document["teacher_cross_entropy"]
                mean.add(part["total"], part["count"])
        return mean.mean if mean.count else None

    def _open_shards(self, wanted: Sequence[int]) -> dict[int, Shard]:
        """Those of the wanted positions that are published."""
        positions = {self.table[position]: position for position in wanted}
        found = open_published(shards_path(self.path), list(positions), self.calibration.digest)
        return {positions[place]: Shard(place, folder) for place, folder in found}

    def _digests(self) -> list[str]:
        extents = [str(extent["sha256"]) for extent in self.extents]
        shards = [shard.folder.digest for shard in self.shards]
        return [self.plan.digest, *extents, self.calibration.digest, *shards]


class Split(Sequence[Example]):
    """The examples of one part of a cache, `train` or `validation`."""

    def __init__(self, cache: Cache, name: str) -> None:
        self._cache = cache
        self.shards = [shard for shard in cache.shards if shard.place.split == name]

    def __len__(self) -> int:
        return sum(shard.examples for shard in self.shards)

    @cached_property
    def _ends(self) -> Integers:
        return np.cumsum([shard.examples for shard in self.shards]).astype(np.int32)

    @overload
    def __getitem__(self, index: int) -> Example: ...
    @overload
    def __getitem__(self, index: slice) -> list[Example]: ...
    def __getitem__(self, index: int | slice) -> Example | list[Example]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(f"example {index} of {len(self)}")
        index %= len(self)
        number = int(np.searchsorted(self._ends, index, side="right"))
        shard = self.shards[number]
        return _example(self._cache, shard, index - int(self._ends[number]) + shard.examples)

    def __iter__(self) -> Iterator[Example]:
        return (self[i] for i in range(len(self)))


class _Relations(Mapping[str, Factors]):
    """Decodes a site's factors of one example on demand."""

    def __init__(self, cache: Cache, folder: PublishedFolder, spans: dict[str, slice]) -> None:
        self._cache, self._folder, self._spans = cache, folder, spans

    def __getitem__(self, name: str) -> Factors:
        codec = self._cache.codecs[find_site(name, list(self._cache.codecs))]
        coefficients = {}
        for place in codec.places():
            column, span = column_name(codec.site, place), self._spans[place.axis]
            stored = self._folder.slice(column, span.start, span.stop).T
            coefficients[column] = torch.from_numpy(stored.astype(np.int32))
        return Factors(**{kind: tensor.numpy() for kind, tensor in codec.decode(coefficients).items()})

    def __iter__(self) -> Iterator[str]:
        return iter(self._cache.codecs)

    def __len__(self) -> int:
        return len(self._cache.codecs)


def _example(cache: Cache, shard: Shard, index: int) -> Example:
    ids, spans = {}, {}
    for axis in ("input", "target"):
        offsets = shard.folder.column(f"{axis}s.offsets")
        spans[axis] = slice(int(offsets[index]), int(offsets[index + 1]))
        ids[axis] = shard.folder.slice(f"{axis}s.ids", spans[axis].start, spans[axis].stop).astype(np.int32)
    relations = _Relations(cache, shard.folder, spans)
    return Example(ids["input"], ids["target"], relations, _logits(cache, shard, spans["target"]))


def _logits(cache: Cache, shard: Shard, span: slice) -> TopKLogits | None:
    signal = cache.plan.document["signals"]["logits"]
    if not signal:
        return None
    ids, levels = (shard.folder.slice(f"logits.{name}", span.start, span.stop).T for name in ("ids", "levels"))
    rows = cache.plan.document["teacher"]["facts"]["vocab_rows"]
    log_p = decode_top_k(torch.from_numpy(levels.astype(np.int32)), signal["step"], rows)
    return TopKLogits(np.ascontiguousarray(ids.astype(np.int32)), log_p.numpy(), tail_mass(log_p).numpy())


def open_cache(path: Where, allow_unfinished: bool = False, part: Part | None = None) -> Cache:
    """Open a cache for reading, all of it or the `part` that was opened before, however much it has grown since.

    `path` is a local directory, or an s3://, gs:// or az:// URL.

    Raises ConfigurationError for a URL that cannot be used, ObjectStoreError for a store that does not answer,
    CacheMismatchError where there is no cache or its format is newer, CacheDamagedError where a document was changed,
    CacheUnfinishedError where shards are missing (unless `allow_unfinished`, which takes what is published).
    """
    return Cache(place_of(path), allow_unfinished, part)


def read_codecs(calibration: PublishedFolder) -> dict[str, SiteCodec]:
    """The codecs of a published calibration by full site name, on the CPU."""
    arrays = {name: torch.from_numpy(calibration.column(name)) for name in calibration.columns}
    return {site["site"]: site_codec_from(site, arrays) for site in calibration.document["sites"]}


def _positions(part: Part | None, count: int) -> list[int]:
    """Those of a table of `count` shards that belong to the part."""
    ranges = parse_ranges(part.shards) if part else [range(count)]
    return [position for position in range(count) if any(position in within for within in ranges)]


def _open(path: Place, kind: str, missing: str, unfinished: bool = False) -> PublishedFolder:
    if not folder_exists(path, kind):
        raise CacheUnfinishedError(missing) if unfinished else CacheMismatchError(missing)
    return PublishedFolder(path, kind)


def _require_parent(folder: PublishedFolder, digest: str) -> None:
    if folder.document.get("parent") != digest:
        raise CacheMismatchError(
            f"{folder.path} belongs to another plan: put the right folder back, or dump into a new directory"
        )
