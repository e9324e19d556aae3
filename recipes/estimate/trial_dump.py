"""A trial dump: make and time a few shards of a planned dump, with the dump's own code, in another directory.

The sampled examples come after the ones that the codecs are fitted on, because those compress better than all others.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import torch

from ...models.padding import by_axis, pad_examples
from ...runtime.claims import Claims
from ...runtime.devices import timed
from ...runtime.options import completed
from ...runtime.progress import progress_bar, waiting
from ...storage.documents.calibration import Calibration
from ...storage.layout import ShardRange
from ...storage.stores.place import place_of
from ...teacher_dump.config import DumpConfig, TeacherSettings
from ...teacher_dump.examples.segments import SEGMENTS_PER_FOLDER
from ...teacher_dump.prepare import Prepared, Seconds, open_sources, prepare
from ...teacher_dump.shards.batches import batches_of
from ...teacher_dump.shards.encoder import ShardEncoder
from ...teacher_dump.shards.loop import examples_in, make_shards
from ...teacher_dump.shards.space import typical_tokens
from ...teacher_dump.teacher import Teacher
from ...teacher_dump.worker import Worker

FORWARD_BATCHES = 8
"""The number of batches to time the bare forward pass on, after one that warms up."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A trial at `cache`, with its times in seconds. Times per example are for an example of typical length."""

    cache: Path
    prepared: Prepared
    segments: int
    """The number of published segments."""
    shards: list[ShardRange]
    """The published shards, without the one that warmed up."""
    before: Seconds
    """The time before the shard loop, by part."""
    loop_per_example: float
    """The time of the shard loop per example, while the previous shard is being written."""
    last_write: float
    """The time after the last shard is encoded."""
    forward_per_example: float
    """The time of the bare teacher per example."""


def run_trial(dump: TeacherSettings, sample: int, cache: Path) -> Trial:
    """Prepare `cache` as `dump` would, then dump one shard to warm up and `sample` more examples."""
    config = _trial_config(dump, sample, cache)
    sources = open_sources(config, Worker())
    prepared = prepare(config, sources)
    warm_up, *shards = _sample_shards(prepared, sample, dump.shard_examples)
    per_example, last_write = _run_loop(config, prepared, sources.teacher, [warm_up, *shards])
    with waiting("trial, bare teacher"):
        forward = _forward_seconds(config, prepared, sources.teacher, shards[0])
    stretch = _stretch(prepared, shards)
    segments = prepared.source.segments.count("train")
    times = (sources.seconds, per_example * stretch, last_write, forward * stretch)
    return Trial(cache, prepared, segments, shards, *times)


def _trial_config(dump: TeacherSettings, sample: int, cache: Path) -> DumpConfig:
    """Return the same dump with only the examples that calibration, sample and one folder of segments need, all for training."""
    needed = max(dump.calibration_examples + 2 * sample, SEGMENTS_PER_FOLDER)
    examples = min(dump.examples, needed)
    return completed(DumpConfig, dump, cache=cache, examples=examples, validation_examples=0, shards=None)


def _sample_shards(prepared: Prepared, sample: int, size: int) -> list[ShardRange]:
    """Return a shard to warm up and the shards to measure. When the corpus ends, examples repeat (`ExampleSource.example`)."""
    first = prepared.calibration.parsed(Calibration).examples.report[1]
    warm = min(sample, size)
    starts = [first, *range(first + warm, first + warm + sample, size)]
    stops = [*starts[1:], first + warm + sample]
    return [
        ShardRange("train", number, start, stop) for number, (start, stop) in enumerate(zip(starts, stops, strict=True))
    ]


def _run_loop(
    config: DumpConfig, prepared: Prepared, teacher: Teacher, shards: list[ShardRange]
) -> tuple[float, float]:
    """Return the seconds per example of the dump's shard loop without its first shard, and the seconds of the last write.

    In the steady state, a shard is encoded while the previous one is written.
    """
    encoder = ShardEncoder(prepared.plan, prepared.calibration, teacher, prepared.source)
    encoded: list[float] = []
    with Claims(place_of(config.cache).local) as claims, progress_bar("trial", examples_in(shards), "example") as bar:
        make_shards(
            config.cache,
            prepared.plan.codec,
            shards,
            encoder,
            claims,
            lambda: encoded.append(perf_counter()),
            lambda _shard, count: bar.update(count),
        )
    return (encoded[-1] - encoded[0]) / examples_in(shards[1:]), perf_counter() - encoded[-1]


def _stretch(prepared: Prepared, shards: list[ShardRange]) -> float:
    """Return the length of a typical example divided by the length of a sampled one; 1 except for pairs."""
    sampled = [prepared.source.example(shard.split, i) for shard in shards for i in range(shard.start, shard.stop)]
    mean = sum(len(part) for example in sampled for part in example) / len(sampled)
    return sum(typical_tokens(prepared).values()) / mean


def _forward_seconds(config: DumpConfig, prepared: Prepared, teacher: Teacher, shard: ShardRange) -> float:
    """Return the seconds per example of only the teacher, as a student that trains online would run it."""
    batches = list(batches_of(prepared.source, shard.split, shard.start, shard.stop, config.batch_size))
    batches = batches[: FORWARD_BATCHES + 1]
    measured = batches[1:] or batches
    _forward(teacher, batches[0])
    seconds = sum(timed(teacher.device, partial(_forward, teacher, examples))[1] for examples in measured)
    return seconds / sum(len(examples) for examples in measured)


def _forward(teacher: Teacher, examples: list[Any]) -> None:
    ids, valid = pad_examples(teacher.family, by_axis(teacher.family, examples), teacher.pad_id)
    here = [{axis: part.to(teacher.device) for axis, part in parts.items()} for parts in (ids, valid)]
    with torch.inference_mode():
        teacher.forward(*here)
