"""An opened cache reads published folders and decodes them to examples.

`open_cache` and the training loader both use it. Opening reads only the documents (plan, extents, calibration, markers) and
checks that they belong together. A column's bytes are checked against its marker when the column is first read.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, overload

import numpy as np
import torch
from torch import Tensor

from ..errors import CacheMismatchError, CacheUnfinishedError, damaged, one_line
from ..models.families import Family, SpecialIds, family_named
from ..models.tokenizer_files import tokenizer_from_files
from ..runtime.progress import progress_bar, size_text
from ..runtime.showing import facts, heading
from ..signals.codes.site_codec import SiteCodec
from ..signals.fidelity import MeanOf, SpreadOf, spread_from
from ..signals.filters.filter import Filter
from ..signals.logits.code import LogitCode
from ..signals.logits.states import StateHead, state_site
from ..signals.sites import Site
from ..storage.documents.calibration import MeasuredTeacher
from ..storage.folder import PublishedFolder, folder_exists
from ..storage.layout import (
    cache_digest,
    calibration_path,
    extent_path,
    filters_path,
    no_cache,
    plan_path,
    read_extents,
    shard_table,
    shards_path,
)
from ..storage.markers import open_published
from ..storage.positions import parse_ranges, positions_text
from ..storage.stores.place import Place, Where, place_of
from .codecs import read_codecs, read_logit_code, read_state_head
from .contents import (
    TOKENIZER_FOLDER,
    read_calibration,
    read_plan,
    read_shard,
    require_known_kinds,
    tokenizer_names,
)
from .examples import Decoders, Example, Integers, decoded_example, stored_in
from .filters import read_filters
from .shards import LoadedShard, Shard

MANY_SHARDS = 500
"""The number of shards from which we show how far opening them is."""
MANY = 128_000_000
"""The bytes of shards after which we look whether examples are read at random; less costs nobody much."""
AT_RANDOM = (
    "reading examples at random reads a whole shard for nearly each of them; iterate over miniend.Dataset(cache), which "
    "reads each shard once"
)


@dataclass(frozen=True, slots=True)
class Part:
    """The part of a cache that was opened. Published folders never change, so opening it again gives the same examples."""

    extents: int
    """The number of its extents."""
    shards: str
    """The positions of its shards in the shard table, as `storage/positions.py` writes them."""


class Cache(Sequence[Example]):
    """The training examples of a finished cache, or of its published part if allowed; `validation` has the others."""

    def __init__(self, path: Place, allow_unfinished: bool = False, part: Part | None = None) -> None:
        self.path = path
        if not folder_exists(plan_path(path), "plan"):
            raise no_cache(path)
        self.plan_folder = PublishedFolder(plan_path(path), "plan")
        self.plan = read_plan(self.plan_folder)
        require_known_kinds(self.plan, path)
        every = read_extents(path, self.plan.digest)
        self.extents = every[: part.extents if part else None]
        self.has_grown = len(every) > len(self.extents)
        """Whether the cache has more examples than the part that was opened."""
        if any(extent.shard_examples != self.plan.shard_examples for extent in self.extents):
            raise damaged(path, "its extents cut other shards than its plan", "Restore both")
        if not folder_exists(calibration_path(path), "calibration"):
            raise CacheUnfinishedError(
                f"{path} is unfinished: it does not have a calibration yet; run dump-teacher again"
            )
        self.calibration_folder = PublishedFolder(calibration_path(path), "calibration")
        _require_parent(self.calibration_folder, self.plan.digest)
        self.calibration = read_calibration(self.calibration_folder, self.plan)
        self.decoders = Decoders(
            family_named(self.plan.teacher.facts.model_type),
            SpecialIds(start=self.plan.teacher.start_id, pad=self.plan.teacher.pad_id),
            read_codecs(self.calibration_folder, self.calibration),
            read_logit_code(self.calibration_folder, self.plan),
        )
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
                f"{path} is unfinished: {len(self.shards):,} of {len(wanted):,} shards are published; run dump-teacher again, "
                "or use what is there with --allow-unfinished"
            )
        self.digest = cache_digest(self._digests())
        self._latest: LoadedShard | None = None
        self._asked = self._read = self._bytes = 0
        self._warned = False
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

    def __repr__(self) -> str:
        plan, logits = self.plan, self.plan.signals.logits
        return (
            f"<Cache {one_line(str(self.path))}: {len(self.training):,} training and {len(self.validation):,} validation "
            f"examples in {len(self.shards):,} shards; teacher {one_line(plan.teacher.name)}; "
            f"{', '.join(self.codecs) or 'no sites'}; logits {logits.kind if logits else 'none'}>"
        )

    def _repr_html_(self) -> str:
        plan, logits = self.plan, self.plan.signals.logits
        signals = [*self.codecs, *([f"logits ({logits.kind})"] if logits else [])]
        parts = f"{len(self.training):,} for training, {len(self.validation):,} for validation"
        rows = [
            ("examples", parts + ("" if self.complete else "; the dump is unfinished")),
            ("size", f"{size_text(self.size)} in {len(self.shards):,} shards"),
            ("teacher", plan.teacher.name),
            ("signals", ", ".join(signals)),
        ]
        return f"<div>{heading(f'cache {self.path}')}{facts(rows).html()}</div>"

    def __fspath__(self) -> str:
        """Let a cache be given where its path is expected, such as `cache` of `train_student`."""
        return str(self.path)

    @property
    def size(self) -> int:
        """The bytes of all its published folders; of the shards, those that were opened."""
        extents = [PublishedFolder(extent_path(self.path, number), "extent") for number in range(len(self.extents))]
        others = [self.plan_folder, self.calibration_folder, *extents, *self.segment_folders()]
        return sum(folder.total_bytes for folder in [*others, *(shard.folder for shard in self.shards)])

    def segment_folders(self) -> list[PublishedFolder]:
        """Return the folders of the segments, from which span corruption made the examples."""
        folder = self.path / "segments"
        names = [name for name in folder.names() if not name.startswith(".")]
        return [PublishedFolder(folder / name, "marker") for name in names if folder_exists(folder / name, "marker")]

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the name and the part, and not what is open: another process opens the cache anew."""
        return _opened_again, (self.path.pinned, self.part, self.digest)

    @property
    def family(self) -> Family:
        """The family of the teacher and its students."""
        return self.decoders.family

    @property
    def special_ids(self) -> SpecialIds:
        """The special ids that teacher and students get."""
        return self.decoders.special_ids

    @property
    def codecs(self) -> Mapping[str, SiteCodec]:
        """The codecs of all sites by full name; relations come first."""
        return self.decoders.codecs

    @property
    def logit_code(self) -> LogitCode | None:
        """The code of the lists of next-token distributions; None for a cache without lists."""
        return self.decoders.logit_code

    @property
    def state_site(self) -> Site | None:
        """The site whose states hold the next-token distributions (--logits from-hidden); None for other caches."""
        logits = self.plan.signals.logits
        return state_site(self.family, self.plan.teacher.facts) if logits and logits.from_states else None

    @cached_property
    def state_head(self) -> StateHead:
        """What makes distributions of the states of `state_site`, on the CPU. It is read when it is first used.

        Raises CacheMismatchError for a cache without it.
        """
        head = read_state_head(self.calibration_folder, self.plan)
        if head is None:
            raise CacheMismatchError(
                f"{self.path} does not hold the teacher's head, because it was not dumped with --logits from-hidden; "
                "read example.logits, or dump again"
            )
        return head

    @cached_property
    def filters_folder(self) -> PublishedFolder | None:
        """The folder of task-aware filters; None for a cache without them."""
        path = filters_path(self.path)
        return PublishedFolder(path, "filters") if folder_exists(path, "filters") else None

    @cached_property
    def filters(self) -> Mapping[str, Filter]:
        """The task-aware filters by full name of their site, on the CPU; empty for a cache without them.

        Raises CacheMismatchError for a folder of another cache.
        """
        return {} if self.filters_folder is None else read_filters(self.filters_folder, self.plan)

    def log_probabilities(self, states: Any, temperature: float = 1.0) -> Tensor:
        """Return the teacher's next-token log-probabilities, in nats, of a cache that was dumped with --logits from-hidden.

        `states` are its last decoder states, [positions, d_model], such as `example.hidden["decoder.hidden@11"]`; `state_site`
        names their site. The result is float32 [positions, vocab_rows], on the CPU, of p^(1/T) over its sum at temperature T.
        Raises CacheMismatchError for another cache.
        """
        rows = torch.as_tensor(states, dtype=torch.float32, device="cpu")
        return self.state_head.distributions(rows).log_p(slice(None), temperature)

    def codecs_of(self, member: str) -> dict[str, SiteCodec]:
        """Return the codecs of the kinds that a plan lists under `relations` or `hidden`, by full site name."""
        return self.decoders.codecs_of(member)

    def tokenizer_files(self) -> dict[str, bytes]:
        """Return the files of the teacher's tokenizer, by name, byte for byte."""
        return {name: self.plan_folder.file(TOKENIZER_FOLDER + name) for name in tokenizer_names(self.plan_folder)}

    @cached_property
    def tokenizer(self) -> Any:
        """The teacher's tokenizer, as transformers loads it: `cache.tokenizer.decode(example.input_ids)`."""
        return tokenizer_from_files(self.tokenizer_files(), self.plan.teacher.facts.model_type)

    def fidelity(self) -> dict[str, dict[str, SpreadOf]]:
        """Return the measurements of the markers, added up over all shards, by site (or `logits`) and kind.

        Those for logits are without bins.
        """
        total: dict[str, dict[str, SpreadOf]] = {}
        for shard in self.shards:
            for site, kinds in shard.marker().fidelity.items():
                for kind, part in kinds.items():
                    total.setdefault(site, {}).setdefault(kind, SpreadOf()).merge(spread_from(part.body()))
        return total

    def teacher_cross_entropy(self, split: str) -> float | None:
        """Return the teacher's own hard-label loss in nats per target token over a split; None if nothing was measured."""
        mean = self.teacher_loss(split)
        return mean.mean if mean.count else None

    def teacher_loss(self, split: str) -> MeanOf:
        """Return the teacher's own hard-label loss as a sum over a split's target tokens, and their number."""
        mean = MeanOf()
        for shard in self.shards:
            if shard.place.split == split:
                part = shard.marker().teacher_cross_entropy
                if part is not None:
                    mean.add(part.total, part.count)
        return mean

    def predicting_teacher(self, asker: str) -> MeasuredTeacher:
        """Return how good the teacher is at predicting tokens.

        Raises CacheMismatchError, with the name of what asks for it, for a teacher that is an encoder without decoder.
        """
        if (measured := self.calibration.teacher) is None:
            raise CacheMismatchError(
                f"{asker} needs a teacher that predicts tokens; {self.path} is of an encoder without decoder, so dump the full "
                "checkpoint"
            )
        return measured

    def loaded(self, shard: Shard) -> "LoadedShard":
        """Return a shard whose columns stay in memory; we keep the latest one for its next example."""
        latest = self._latest
        self._asked += 1
        if latest is None or latest.shard is not shard:
            self._latest = latest = LoadedShard(shard, self.logit_code)
            self._read += 1
            self._bytes += shard.folder.total_bytes
            if self._bytes > MANY and self._asked < 2 * self._read and not self._warned:
                self._warned = True
                warnings.warn(AT_RANDOM, stacklevel=3)
        return latest

    def _open_shards(self, wanted: Sequence[int]) -> dict[int, Shard]:
        """Open the published shards among the wanted positions, by position."""
        positions = {self.table[position]: position for position in wanted}
        ids, shards = self.plan.tokenizer.size, {}
        many = len(positions) >= MANY_SHARDS
        with progress_bar("opening the cache", len(positions), "shard", shown=many, kept=False) as bar:
            for place, folder in open_published(shards_path(self.path), list(positions), self.calibration.digest):
                marker = read_shard(folder, self.plan, self.calibration)
                shards[positions[place]] = Shard(
                    place, folder, marker.tokens, marker.tokens[self.family.label_axis], ids
                )
                bar.update()
        return shards

    def _digests(self) -> list[str]:
        extents = [extent.digest for extent in self.extents]
        shards = [shard.folder.digest for shard in self.shards]
        return [self.plan.digest, *extents, self.calibration.digest, *shards]


class Split(Sequence[Example]):
    """The examples of one part of a cache, `train` or `validation`."""

    def __init__(self, cache: Cache, name: str) -> None:
        self.cache, self.name = cache, name
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
            raise IndexError(f"example {index:,} of {len(self):,}")
        index %= len(self)
        number = int(np.searchsorted(self._ends, index, side="right"))
        shard = self.shards[number]
        place = index - int(self._ends[number]) + shard.examples
        return decoded_example(self.cache.decoders, stored_in(self.cache.decoders, self.cache.loaded(shard), place))

    def __iter__(self) -> Iterator[Example]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        return (
            f"<{len(self):,} examples in {len(self.shards):,} shards: {self.name} of {one_line(str(self.cache.path))}>"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return Split, (self.cache, self.name)


def open_cache(path: Where, allow_unfinished: bool = False, part: Part | None = None) -> Cache:
    """Open a cache for reading, all of it or the `part` that was opened before, however much it has grown since.

    `path` is a local directory, an s3://, gs:// or az:// URL, or hf://datasets/USER/NAME[@REVISION][/FOLDER].

    Raises ConfigurationError for a URL that cannot be used, ObjectStoreError for a store that does not answer,
    CacheMismatchError if `path` is not a cache or its format is newer, CacheDamagedError if a document was changed,
    CacheUnfinishedError if shards are missing (unless `allow_unfinished`, which takes what is published).
    """
    return Cache(place_of(path), allow_unfinished, part)


def _opened_again(where: str, part: Part, digest: str) -> Cache:
    cache = open_cache(where, allow_unfinished=True, part=part)
    if cache.digest != digest:
        raise CacheMismatchError(f"{where} is not the cache that it was when this object was pickled; open it anew")
    return cache


def _positions(part: Part | None, count: int) -> list[int]:
    """Return the positions of the part's shards in a table of `count` shards."""
    ranges = parse_ranges(part.shards) if part else [range(count)]
    return [position for position in range(count) if any(position in within for within in ranges)]


def _require_parent(folder: PublishedFolder, digest: str) -> None:
    if folder.document.get("parent") != digest:
        raise CacheMismatchError(
            f"{folder.path} belongs to another plan: expected parent {digest}, found {folder.document.get('parent')}. "
            "Put the right folder back, or dump into a new directory"
        )
