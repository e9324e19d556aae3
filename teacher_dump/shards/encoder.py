"""Encode one shard: run the teacher over its examples, turn the signals into integers, and measure what the marker holds."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import perf_counter

import numpy as np
import torch
from torch import Tensor

from ...cache import read_codecs, read_logit_code, read_mean_probability, read_state_head
from ...cache.logit_columns import logit_columns
from ...signals.codes.site_codec import NOTHING, SiteCodec
from ...signals.fidelity import MeanOf, SiteSample, merged
from ...signals.kinds import kind_of
from ...signals.logits.code import LogitIntegers, join_integers
from ...signals.logits.states import state_site
from ...signals.sites import Site
from ...storage.columns.columns import Column
from ...storage.documents.calibration import Calibration
from ...storage.documents.marker import ShardMarker
from ...storage.documents.measured import Mean, Spread
from ...storage.documents.plan import Plan
from ...storage.folder import PublishedFolder
from ...storage.layout import ShardRange
from ...storage.markers import marker_members
from ..examples.segments import ragged_columns
from ..examples.source import ExampleSource
from ..teacher import Teacher
from .batches import TeacherBatch, batches_of, run_teacher
from .logits import LogitEncoder, LogitMeasurements

FIDELITY_EXAMPLES = 2
"""The number of examples of each shard on which we measure sites; none of them fitted the codecs. We measure logits on all."""


@dataclass(slots=True)
class Timings:
    """The seconds that the shard loop spends, by activity."""

    forward: float = 0.0
    """The time of the teacher's forward passes."""
    encode: float = 0.0
    """The time of encoding."""
    wait: float = 0.0
    """The time of waiting for the disk."""


@dataclass(slots=True)
class EncodedShard:
    """The content of a shard that we publish."""

    columns: dict[str, Column]
    marker: ShardMarker


@dataclass(slots=True)
class _Parts:
    """An unfinished shard: examples, integer blocks by column in batch order, and running means."""

    examples: list[tuple[np.ndarray, ...]] = field(default_factory=list)
    blocks: dict[str, list[np.ndarray]] = field(default_factory=dict)
    logits: list[LogitIntegers] = field(default_factory=list)
    sites: dict[str, dict[str, MeanOf]] = field(default_factory=dict)
    """The measurements so far, by site and by the names that its kind gives them."""
    distributions: LogitMeasurements = field(default_factory=LogitMeasurements)
    measured: int = 0
    """The number of examples whose sites have been measured."""

    def fidelity(self) -> dict[str, dict[str, Spread]]:
        """Return all measurements, by site or `logits`, for the marker."""
        means = self.sites | ({"logits": self.distributions.fidelity} if self.distributions.fidelity else {})
        return {
            name: {kind: Spread(**mean.described()) for kind, mean in kinds.items()} for name, kinds in means.items()
        }

    def add_block(self, name: str, block: Tensor) -> None:
        """Keep integers [rows, tokens], in 16 bits if they fit."""
        narrow = block.to(torch.int16)
        self.blocks.setdefault(name, []).append((narrow if bool((narrow == block).all()) else block).cpu().numpy())


class ShardEncoder:
    """An encoder that turns ranges of examples into columns and markers; teacher and codecs stay on the device."""

    def __init__(
        self,
        plan: Plan,
        calibration: PublishedFolder,
        teacher: Teacher,
        source: ExampleSource,
    ) -> None:
        described = calibration.parsed(Calibration)
        self._plan, self._parent = plan, calibration.digest
        self._fitted = described.examples.step[1]
        self._codecs = [codec.to(teacher.device) for codec in read_codecs(calibration, described).values()]
        self._predicting = {codec.predicted_from for codec in self._codecs}
        reference, head = read_mean_probability(calibration), read_state_head(calibration, plan)
        self._logits = LogitEncoder(read_logit_code(calibration, plan), head, reference, teacher.device)
        self._state_site = state_site(teacher.family, teacher.facts) if head else None
        self._teacher, self._source = teacher, source
        self.timings = Timings()

    def encode(self, shard: ShardRange, done: Callable[[int], object] = lambda _count: None) -> EncodedShard:
        """Run the teacher over one shard and return what to publish; `done` gets the number of examples after each batch."""
        parts = _Parts()
        sites = [codec.site for codec in self._codecs]
        for examples in batches_of(self._source, shard.split, shard.start, shard.stop, self._plan.batch_size):
            begun = perf_counter()
            batch = run_teacher(self._teacher, examples, sites)
            ran = perf_counter()
            with torch.inference_mode():
                self._add(parts, batch, examples, shard)
            self.timings.forward += ran - begun
            self.timings.encode += perf_counter() - ran
            done(len(examples))
        return self._finish(shard, parts)

    def _add(
        self, parts: _Parts, batch: TeacherBatch, examples: list[tuple[np.ndarray, ...]], shard: ShardRange
    ) -> None:
        measured = self._to_measure(parts, len(examples), shard)
        parts.examples.extend(examples)
        decoded: dict[Site, Mapping[str, Tensor]] = {}
        for codec in self._codecs:
            sample = batch.sample(codec.site, decoded.pop(codec.predicted_from) if codec.predicted_from else NOTHING)
            columns = codec.encode(sample)
            for column, block in columns.items():
                parts.add_block(column, block)
            if codec.site in self._predicting or codec.site == self._state_site:
                decoded[codec.site] = codec.decoded(columns, sample)
            if measured:
                ones = list(sample.examples())
                _measure(parts, codec, [ones[place] for place in measured])
        states = decoded[self._state_site]["hidden"][batch.labelled] if self._state_site else None
        if batch.logits is not None:
            self._add_logits(parts, batch, shard, measured, states)

    def _to_measure(self, parts: _Parts, count: int, shard: ShardRange) -> list[int]:
        """Return the places in a batch of the next examples to measure, without those that basis or step were fitted on."""
        first = shard.start + len(parts.examples)
        free = [place for place in range(count) if shard.split != "train" or first + place >= self._fitted]
        chosen = free[: FIDELITY_EXAMPLES - parts.measured]
        parts.measured += len(chosen)
        return chosen

    def _add_logits(
        self, parts: _Parts, batch: TeacherBatch, shard: ShardRange, measured: list[int], states: Tensor | None
    ) -> None:
        logits, labels = batch.valid_logits()
        lengths = batch.labelled.sum(-1).tolist()
        first = shard.start + len(parts.examples) - len(lengths)
        numbers = [self._source.uniforms(shard.split, first + place, n) for place, n in enumerate(lengths)]
        chosen = torch.zeros(len(lengths), dtype=torch.bool)
        chosen[measured] = True
        compared = chosen.repeat_interleave(torch.tensor(lengths)).to(logits.device)
        uniforms = torch.from_numpy(np.concatenate(numbers))
        stored = self._logits.encode(logits, labels, uniforms, compared, parts.distributions, states)
        if stored is not None:
            parts.logits.append(stored.to("cpu"))

    def _finish(self, shard: ShardRange, parts: _Parts) -> EncodedShard:
        axes = self._teacher.family.axes
        columns: dict[str, Column] = {}
        for place, axis in enumerate(axes):
            columns |= ragged_columns(f"{axis}s", [example[place] for example in parts.examples], axis)
        for name, blocks in parts.blocks.items():
            columns[name] = Column(values=np.concatenate(blocks, axis=1), axis=self._axis(name))
        if parts.logits and self._plan.signals.logits:
            columns |= logit_columns(
                self._plan.signals.logits.kind, join_integers(parts.logits), self._teacher.family.label_axis
            )
        marker = ShardMarker(
            **marker_members(shard, self._parent),
            tokens={axis: int(columns[f"{axis}s.offsets"].values[-1]) for axis in axes},
            fidelity=parts.fidelity(),
            teacher_cross_entropy=(
                Mean(**parts.distributions.loss.described()) if self._teacher.family.predicts else None
            ),
        )
        return EncodedShard(columns, marker)

    def _axis(self, column: str) -> str:
        return next(codec.columns[column].axis for codec in self._codecs if column in codec.columns)


def _measure(parts: _Parts, codec: SiteCodec, ones: list[SiteSample]) -> None:
    """Add what the cache loses of a site in some examples, given one by one."""
    means = parts.sites.setdefault(str(codec.site), {})
    for one in ones:
        for name, mean in kind_of(codec.site).measured_on_shards(codec, one).items():
            means[name] = merged(means.get(name), mean)
