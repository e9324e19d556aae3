"""A trial dump: the first shards of one that has not begun, made by its own code in another place, and timed.

The sampled examples follow those that the codecs are fitted on, which compress better than all others.
"""

from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import torch

from ...models.padding import by_axis, pad_examples
from ...runtime.claims import Claims
from ...runtime.options import completed
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
"""Batches of which the bare forward is timed, after one that is not."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What a trial left at `cache`, and its seconds."""

    cache: Path
    prepared: Prepared
    segments: int
    """Published in the trial."""
    shards: list[ShardRange]
    """Published in the trial, without the one that warmed up."""
    before: Seconds
    """Before the shard loop."""
    loop_per_example: float
    """Of the shard loop, while the shard before is being written; of an example of mean length, as is the forward."""
    last_write: float
    """After the last shard is encoded."""
    forward_per_example: float
    """Of the bare teacher."""


def run_trial(dump: TeacherSettings, sample: int, cache: Path) -> Trial:
    """Prepare `cache` as `dump` would, dump one shard to warm up and `sample` more examples."""
    config = _trial_config(dump, sample, cache)
    sources = open_sources(config, Worker())
    prepared = prepare(config, sources)
    warm_up, *shards = _sample_shards(prepared, sample, dump.shard_examples)
    per_example, last_write = _run_loop(config, prepared, sources.teacher, [warm_up, *shards])
    forward = _forward_seconds(config, prepared, sources.teacher, shards[0])
    stretch = _stretch(prepared, shards)
    segments = prepared.source.segments.count("train")
    times = (sources.seconds, per_example * stretch, last_write, forward * stretch)
    return Trial(cache, prepared, segments, shards, *times)


def _trial_config(dump: TeacherSettings, sample: int, cache: Path) -> DumpConfig:
    """The same dump with as many examples as calibration, sample and one folder of segments need, all of them for training."""
    needed = max(dump.calibration_examples + 2 * sample, SEGMENTS_PER_FOLDER)
    examples = min(dump.examples, needed)
    return completed(DumpConfig, dump, cache=cache, examples=examples, validation_examples=0, shards=None)


def _sample_shards(prepared: Prepared, sample: int, size: int) -> list[ShardRange]:
    """A shard to warm up and those to measure; where the corpus ends, examples begin anew (`ExampleSource.example`)."""
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
    """Seconds per example of the dump's shard loop without its first shard, and of the last write.

    Steady state is a shard that is encoded while the one before is written.
    """
    encoder = ShardEncoder(prepared.plan, prepared.calibration, teacher, prepared.source)
    encoded: list[float] = []
    with Claims(place_of(config.cache).local) as claims:
        codec = prepared.plan.codec
        make_shards(config.cache, codec, shards, encoder, claims, lambda: encoded.append(perf_counter()))
    return (encoded[-1] - encoded[0]) / examples_in(shards[1:]), perf_counter() - encoded[-1]


def _stretch(prepared: Prepared, shards: list[ShardRange]) -> float:
    """How much longer than a sampled example a typical one is; 1 but for pairs."""
    sampled = [prepared.source.example(shard.split, i) for shard in shards for i in range(shard.start, shard.stop)]
    mean = sum(len(part) for example in sampled for part in example) / len(sampled)
    return sum(typical_tokens(prepared).values()) / mean


def _forward_seconds(config: DumpConfig, prepared: Prepared, teacher: Teacher, shard: ShardRange) -> float:
    """Seconds per example of the teacher alone, as a student that trains online would run it."""
    batches = list(batches_of(prepared.source, shard.split, shard.start, shard.stop, config.batch_size))
    batches = batches[: FORWARD_BATCHES + 1]
    timed = batches[1:] or batches
    _forward(teacher, batches[0])
    begun = perf_counter()
    for examples in timed:
        _forward(teacher, examples)
    return (perf_counter() - begun) / sum(len(examples) for examples in timed)


def _forward(teacher: Teacher, examples: list[Any]) -> None:
    ids, valid = pad_examples(teacher.family, by_axis(teacher.family, examples), teacher.pad_id)
    here = [{axis: part.to(teacher.device) for axis, part in parts.items()} for parts in (ids, valid)]
    with torch.inference_mode():
        logits = teacher.forward(*here)
    float(logits.flatten()[0])  # waits for the device
