"""One shard: the teacher over its examples, the signals as integers, and the marker's own measurements."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..signals.fidelity import MeanOf, relation_kl
from ..signals.logits import coarsened_kl, decode_top_k, encode_top_k, tail_mass
from ..signals.site_codec import SiteCodec
from ..storage.columns import Column
from ..storage.layout import ShardRange
from ..storage.markers import marker_members
from .batches import TeacherBatch, batches_of, run_teacher
from .calibrate import cross_entropy_sum
from .examples import ExampleSource
from .segments import ragged_columns
from .teacher import Teacher

FIDELITY_EXAMPLES = 2
"""Examples of each shard, none of them used to fit the codecs, whose relation KL is measured; logits are measured on all."""


@dataclass(slots=True)
class Timings:
    """Seconds spent by the shard loop."""

    forward: float = 0.0
    encode: float = 0.0
    wait: float = 0.0


@dataclass(slots=True)
class EncodedShard:
    """What is to be published of one shard."""

    columns: dict[str, Column]
    body: dict[str, Any]


@dataclass(slots=True)
class _Parts:
    """A shard in the making: examples, integer blocks per column in batch order, and running means."""

    examples: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)
    blocks: dict[str, list[np.ndarray]] = field(default_factory=dict)
    fidelity: dict[str, dict[str, MeanOf]] = field(default_factory=dict)
    loss: MeanOf = field(default_factory=MeanOf)
    measured: int = 0
    """Examples whose relations have been measured."""

    def add_block(self, name: str, block: Tensor) -> None:
        """Keep integers [rows, tokens] in 16 bits where they fit."""
        narrow = block.to(torch.int16)
        self.blocks.setdefault(name, []).append((narrow if bool((narrow == block).all()) else block).cpu().numpy())

    def measure(self, site: str, kind: str, part: MeanOf) -> None:
        """Add to the mean of one measurement."""
        self.fidelity.setdefault(site, {}).setdefault(kind, MeanOf()).add(part.total, part.count)


class ShardEncoder:
    """Turns ranges of examples into columns and markers; the teacher and the codecs stay on the device."""

    def __init__(
        self,
        plan: dict[str, Any],
        calibration: dict[str, Any],
        codecs: Mapping[str, SiteCodec],
        teacher: Teacher,
        source: ExampleSource,
    ) -> None:
        self._plan, self._parent = plan, calibration["sha256"]
        self._fitted = int(calibration["examples"]["step"][1])
        self._codecs = {name: codec.to(teacher.device) for name, codec in codecs.items()}
        self._teacher, self._source = teacher, source
        self.timings = Timings()

    def encode(self, shard: ShardRange) -> EncodedShard:
        """Run the teacher over one shard."""
        parts = _Parts()
        sites = [codec.site for codec in self._codecs.values()]
        for examples in batches_of(self._source, shard.split, shard.start, shard.stop, self._plan["batch_size"]):
            begun = perf_counter()
            batch = run_teacher(self._teacher, examples, sites)
            ran = perf_counter()
            with torch.inference_mode():
                self._add(parts, batch, examples, shard)
            self.timings.forward += ran - begun
            self.timings.encode += perf_counter() - ran
        return self._finish(shard, parts)

    def _add(
        self, parts: _Parts, batch: TeacherBatch, examples: list[tuple[np.ndarray, np.ndarray]], shard: ShardRange
    ) -> None:
        measured = self._to_measure(parts, len(examples), shard)
        parts.examples.extend(examples)
        for codec in self._codecs.values():
            for column, block in codec.encode(batch.sample(codec.site)).items():
                parts.add_block(column, block)
            if measured:
                self._measure_relations(parts, batch, codec, measured)
        logits, labels = batch.valid_logits()
        parts.loss.add(*cross_entropy_sum(logits, labels))
        if self._plan["signals"]["logits"]:
            self._add_logits(parts, logits)

    def _to_measure(self, parts: _Parts, count: int, shard: ShardRange) -> list[int]:
        """Places in a batch of the next examples to measure: no training example that basis or step were fitted on."""
        first = shard.start + len(parts.examples)
        free = [place for place in range(count) if shard.split != "train" or first + place >= self._fitted]
        chosen = free[: FIDELITY_EXAMPLES - parts.measured]
        parts.measured += len(chosen)
        return chosen

    def _measure_relations(self, parts: _Parts, batch: TeacherBatch, codec: SiteCodec, places: list[int]) -> None:
        ones = list(batch.sample(codec.site).examples())
        for one in (ones[place] for place in places):
            found = relation_kl(codec.site, one, codec.reconstruct(one), codec.heads, codec.alpha)
            for kind, part in found.items():
                parts.measure(str(codec.site), kind, part)

    def _add_logits(self, parts: _Parts, logits: Tensor) -> None:
        signal = self._plan["signals"]["logits"]
        ids, levels = encode_top_k(logits, signal["k"], self._plan["tokenizer"]["size"], signal["step"])
        log_p = decode_top_k(levels, signal["step"], logits.shape[-1])
        parts.add_block("logits.ids", ids.T)
        parts.add_block("logits.levels", levels.T)
        positions = len(logits)
        parts.measure("logits", "kl", MeanOf(float(coarsened_kl(logits, ids, log_p).sum()), positions))
        parts.measure("logits", "tail_mass", MeanOf(float(tail_mass(log_p).sum()), positions))

    def _finish(self, shard: ShardRange, parts: _Parts) -> EncodedShard:
        columns = ragged_columns("inputs", [inputs for inputs, _ in parts.examples], "input")
        columns |= ragged_columns("targets", [targets for _, targets in parts.examples], "target")
        for name, blocks in parts.blocks.items():
            columns[name] = Column(values=np.concatenate(blocks, axis=1), axis=self._axis(name))
        body = {
            **marker_members(shard, self._parent),
            "tokens": {axis: int(columns[f"{axis}s.offsets"].values[-1]) for axis in ("input", "target")},
            "fidelity": {
                site: {kind: asdict(part) for kind, part in kinds.items()} for site, kinds in parts.fidelity.items()
            },
            "teacher_cross_entropy": asdict(parts.loss),
        }
        return EncodedShard(columns, body)

    def _axis(self, column: str) -> str:
        if column.startswith("logits."):
            return "target"
        described = (code for codec in self._codecs.values() for code in codec.description()["codes"].values())
        return next(str(code["axis"]) for code in described if code["column"] == column)
