"""An opened cache: a reader of published folders joined with the decoders, as examples.

`open_cache` and the training loader both stand on this. Opening reads the documents alone (plan, extents, calibration,
markers) and checks that they belong together; a column's bytes are checked against its marker when it is first read.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter
from typing import Any, TypeVar, overload

import numpy as np
import torch

from ..errors import CacheMismatchError, CacheUnfinishedError, damaged
from ..models.families import Family, SpecialIds, family_named
from ..signals.codes.site_codec import SiteCodec
from ..signals.fidelity import MeanOf, SpreadOf, spread_from
from ..signals.kinds import kind_of
from ..signals.logits.code import LogitCode, logit_code_from
from ..signals.sites import find_site, site_from
from ..storage.contents import check_values
from ..storage.documents.calibration import Calibration, SiteEntry
from ..storage.documents.marker import ShardMarker
from ..storage.documents.plan import Plan
from ..storage.folder import PublishedFolder, folder_exists
from ..storage.layout import (
    ShardRange,
    cache_digest,
    calibration_path,
    plan_path,
    read_extents,
    shard_table,
    shards_path,
)
from ..storage.markers import open_published
from ..storage.positions import parse_ranges, positions_text
from ..storage.stores.place import Place, Where, place_of
from .contents import read_calibration, read_shard, require_known_kinds
from .logit_columns import StoredLogits, read_logits

TOKENIZER_FOLDER = "tokenizer/"

Floats = np.ndarray[Any, np.dtype[np.float32]]
Integers = np.ndarray[Any, np.dtype[np.int32]]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Factors:
    """Q, K and V of one site for one example, float32 [length, inner] each."""

    query: Floats
    key: Floats
    value: Floats


@dataclass(frozen=True, slots=True)
class SparseLogits:
    """Next-token distributions of one example: per target position a head of exact ids and draws from the tail.

    Lists lie end to end; those of position i are at starts[i] to starts[i + 1].
    """

    head_starts: Integers
    """int64 [targets + 1]"""
    head_ids: Integers
    """int32 [head entries], by falling probability within a position"""
    head_log_probabilities: Floats
    """float32 [head entries], natural logarithms under the full-vocabulary normaliser"""
    tail_mass: Floats
    """float32 [targets], probability of everything that is not in the head"""
    draw_starts: Integers
    """int64 [targets + 1]"""
    draw_ids: Integers
    """int32 [draws], a repeat counts twice; none for `top-k`, whose tail is one outcome"""
    draw_weights: Floats
    """float32 [draws], the probability that each draw stands for"""


@dataclass(frozen=True, slots=True)
class Example:
    """One example as a student sees it."""

    ids: Mapping[str, Integers]
    """By token axis: int32 [length], EOS included"""
    label_axis: str
    """The token axis of what a student is to predict."""
    relations: Mapping[str, Factors]
    """By full (`encoder.self@11`) or short (`encoder.self`) site name, decoded when asked for."""
    hidden: Mapping[str, Floats]
    """The same of hidden states (`encoder.hidden@6`): the output of a layer, float32 [length, d_model]."""
    logits: SparseLogits | None

    @property
    def input_ids(self) -> Integers:
        """What the first stack reads: int32 [n], EOS included."""
        return next(iter(self.ids.values()))

    @property
    def labels(self) -> Integers:
        """What a student is to predict: int32 [m], EOS included."""
        return self.ids[self.label_axis]


@dataclass(frozen=True, slots=True)
class Shard:
    """One published shard: its place among the examples and its folder."""

    place: ShardRange
    folder: PublishedFolder
    tokens: Mapping[str, int]
    """The number of tokens by axis."""
    labels: int
    """The number of label positions."""
    ids: int
    """Every token id is below."""

    @property
    def examples(self) -> int:
        """Number of examples."""
        return self.place.stop - self.place.start

    def marker(self) -> ShardMarker:
        """Return the shard's marker, which is not kept in memory: a cache may have ten thousand."""
        return self.folder.parsed(ShardMarker)

    def column(self, name: str) -> np.ndarray[Any, np.dtype[Any]]:
        """A whole column, [n] or [rows, n]. Raises CacheDamagedError for offsets or ids that no example can have."""
        values = self.folder.column(name)
        check_values(self.folder, name, values, self.ids)
        return values


class LoadedShard:
    """A shard's columns in memory, each read when it is first asked for."""

    def __init__(self, shard: Shard, logit_code: LogitCode | None) -> None:
        self.shard = shard
        self._logit_code = logit_code
        self._columns: dict[str, np.ndarray[Any, np.dtype[Any]]] = {}

    def column(self, name: str) -> np.ndarray[Any, np.dtype[Any]]:
        """As of the shard."""
        if name not in self._columns:
            self._columns[name] = self.shard.column(name)
        return self._columns[name]

    @cached_property
    def logits(self) -> StoredLogits:
        """The integers of its next-token distributions."""
        assert self._logit_code is not None
        return read_logits(self.shard.folder, self._logit_code.kind, len(self._logit_code.order), self.shard.labels)


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
        self.plan_folder = _open(plan_path(path), "plan", f"{path} is no MiniEnD cache: it has no plan")
        self.plan = self.plan_folder.parsed(Plan)
        require_known_kinds(self.plan, path)
        self.extents = read_extents(path, self.plan.digest)[: part.extents if part else None]
        if any(extent.shard_examples != self.plan.shard_examples for extent in self.extents):
            raise damaged(path, "its extents cut other shards than its plan", "Restore both")
        missing = f"{path} is unfinished: it has no calibration yet; run dump-teacher again"
        self.calibration_folder = _open(calibration_path(path), "calibration", missing, unfinished=True)
        _require_parent(self.calibration_folder, self.plan.digest)
        self.calibration = read_calibration(self.calibration_folder, self.plan)
        self.codecs = read_codecs(self.calibration_folder, self.calibration)
        self.logit_code = read_logit_code(self.calibration_folder, self.plan)
        self.table = shard_table(
            self.plan.validation_examples, [extent.examples for extent in self.extents], self.plan.shard_examples
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
        self._latest: LoadedShard | None = None
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

    @property
    def family(self) -> Family:
        """The family of the teacher, and so of its students."""
        return family_named(self.plan.teacher.facts.model_type)

    @property
    def special_ids(self) -> SpecialIds:
        """The ids with which teacher and students are fed."""
        return SpecialIds(start=self.plan.teacher.start_id, pad=self.plan.teacher.pad_id)

    def codecs_of(self, member: str) -> dict[str, SiteCodec]:
        """The codecs of the kinds that a plan lists under `relations` or `hidden`, by full site name."""
        return {name: codec for name, codec in self.codecs.items() if kind_of(codec.site).member == member}

    def tokenizer_files(self) -> dict[str, bytes]:
        """The teacher's tokenizer, as the files that `save_pretrained` writes."""
        names = [name for name in self.plan_folder.document["files"] if name.startswith(TOKENIZER_FOLDER)]
        return {name.removeprefix(TOKENIZER_FOLDER): self.plan_folder.file(name) for name in names}

    def fidelity(self) -> dict[str, dict[str, SpreadOf]]:
        """Per site (and `logits`) and kind, what the markers hold, added up over all shards; logits have no bins."""
        total: dict[str, dict[str, SpreadOf]] = {}
        for shard in self.shards:
            for site, kinds in shard.marker().fidelity.items():
                for kind, part in kinds.items():
                    total.setdefault(site, {}).setdefault(kind, SpreadOf()).merge(spread_from(part.body()))
        return total

    def teacher_cross_entropy(self, split: str) -> float | None:
        """The teacher's own hard-label loss in nats per target token over a split; None where nothing was measured."""
        mean = MeanOf()
        for shard in self.shards:
            if shard.place.split == split:
                part = shard.marker().teacher_cross_entropy
                mean.add(part.total, part.count)
        return mean.mean if mean.count else None

    def loaded(self, shard: Shard) -> "LoadedShard":
        """A shard whose columns stay in memory; the latest one is kept for its next example."""
        latest = self._latest
        if latest is None or latest.shard is not shard:
            self._latest = latest = LoadedShard(shard, self.logit_code)
        return latest

    def _open_shards(self, wanted: Sequence[int]) -> dict[int, Shard]:
        """Those of the wanted positions that are published."""
        positions = {self.table[position]: position for position in wanted}
        ids, shards = self.plan.tokenizer.size, {}
        for place, folder in open_published(shards_path(self.path), list(positions), self.calibration.digest):
            marker = read_shard(folder, self.plan, self.calibration)
            shards[positions[place]] = Shard(place, folder, marker.tokens, marker.tokens[self.family.label_axis], ids)
        return shards

    def _digests(self) -> list[str]:
        extents = [extent.digest for extent in self.extents]
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
        return _example(self._cache, self._cache.loaded(shard), index - int(self._ends[number]) + shard.examples)

    def __iter__(self) -> Iterator[Example]:
        return (self[i] for i in range(len(self)))


@dataclass(frozen=True, slots=True)
class _Stored:
    """Where one example lies in a shard, and what encoder and decoder were given there, by axis."""

    shard: LoadedShard
    spans: dict[str, slice]
    tokens: dict[str, torch.Tensor]

    def decode(self, codec: SiteCodec) -> dict[str, Floats]:
        """The tensors of a site by kind."""
        coefficients = {}
        for column, place in codec.columns.items():
            stored = self.shard.column(column)[:, self.spans[place.axis]].T
            coefficients[column] = torch.from_numpy(stored.astype(np.int32))
        return {kind: tensor.numpy() for kind, tensor in codec.decode(coefficients, self.tokens).items()}


class _Decoded(Mapping[str, T]):
    """Decodes the sites of one example on demand, in the form that `form` gives to their tensors."""

    def __init__(
        self, codecs: Mapping[str, SiteCodec], stored: _Stored, form: Callable[[dict[str, Floats]], T]
    ) -> None:
        self._codecs, self._stored, self._form = codecs, stored, form

    def __getitem__(self, name: str) -> T:
        return self._form(self._stored.decode(self._codecs[find_site(name, list(self._codecs))]))

    def __iter__(self) -> Iterator[str]:
        return iter(self._codecs)

    def __len__(self) -> int:
        return len(self._codecs)


def _example(cache: Cache, shard: LoadedShard, index: int) -> Example:
    family, ids, spans = cache.family, {}, {}
    for axis in family.axes:
        offsets = shard.column(f"{axis}s.offsets")
        spans[axis] = slice(int(offsets[index]), int(offsets[index + 1]))
        ids[axis] = shard.column(f"{axis}s.ids")[spans[axis]].astype(np.int32)
    single = {axis: torch.from_numpy(values)[None] for axis, values in ids.items()}
    given = family.given(single, cache.special_ids)
    stored = _Stored(shard, spans, {axis: tokens[0] for axis, tokens in given.items()})
    return Example(
        ids=ids,
        label_axis=family.label_axis,
        relations=_Decoded(cache.codecs_of("relations"), stored, lambda tensors: Factors(**tensors)),
        hidden=_Decoded(cache.codecs_of("hidden"), stored, itemgetter("hidden")),
        logits=_logits(cache, shard, spans[family.label_axis]),
    )


def _logits(cache: Cache, shard: LoadedShard, span: slice) -> SparseLogits | None:
    if cache.logit_code is None:
        return None
    stored = shard.logits
    found = cache.logit_code.decode(stored.positions(span.start, span.stop))
    return SparseLogits(
        head_starts=stored.head_starts[span.start : span.stop + 1] - stored.head_starts[span.start],
        head_ids=found.head_ids.numpy().astype(np.int32),
        head_log_probabilities=found.head_log_p.numpy(),
        tail_mass=found.tail_mass.numpy(),
        draw_starts=stored.draw_starts[span.start : span.stop + 1] - stored.draw_starts[span.start],
        draw_ids=found.draw_ids.numpy().astype(np.int32),
        draw_weights=found.draw_weight.numpy(),
    )


def open_cache(path: Where, allow_unfinished: bool = False, part: Part | None = None) -> Cache:
    """Open a cache for reading, all of it or the `part` that was opened before, however much it has grown since.

    `path` is a local directory, or an s3://, gs:// or az:// URL.

    Raises ConfigurationError for a URL that cannot be used, ObjectStoreError for a store that does not answer,
    CacheMismatchError where there is no cache or its format is newer, CacheDamagedError where a document was changed,
    CacheUnfinishedError where shards are missing (unless `allow_unfinished`, which takes what is published).
    """
    return Cache(place_of(path), allow_unfinished, part)


def read_codecs(folder: PublishedFolder, calibration: Calibration) -> dict[str, SiteCodec]:
    """Return the codecs of a published calibration by full site name, on the CPU; relations come first."""
    return {entry.site: _codec(folder, entry) for entry in calibration.entries}


def _codec(folder: PublishedFolder, entry: SiteEntry) -> SiteCodec:
    site = site_from(entry.site)
    names = [name for name in folder.columns if name.startswith(f"{site}.")]
    arrays = {name: torch.from_numpy(folder.column(name)) for name in names}
    steps = {place: code.step for place, code in entry.codes.items()}
    return kind_of(site).read(site, steps, entry.others, arrays)


def read_logit_code(calibration: PublishedFolder, plan: Plan) -> LogitCode | None:
    """Return the plan's logit code with the calibration's order of ids, on the CPU; None for a cache without logits."""
    if plan.signals.logits is None:
        return None
    order = torch.from_numpy(calibration.column("logits.order").astype(np.int64))
    if not torch.equal(order.sort().values, torch.arange(len(order))):
        raise damaged(calibration.path, f"logits.order is no order of {len(order):,} ids")
    return logit_code_from(plan.signals.logits.body(), plan.teacher.facts.vocab_rows, order)


def read_mean_probability(calibration: PublishedFolder) -> torch.Tensor | None:
    """The teacher's mean next-token distribution over the calibration examples, float32 [vocab_rows]; None without logits."""
    name = "logits.mean_probability"
    return torch.from_numpy(calibration.column(name)) if name in calibration.columns else None


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
