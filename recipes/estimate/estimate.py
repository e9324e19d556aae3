"""`miniend estimate`: what a dump would take in bytes and hours, by doing a little of it in a temporary directory.

The dump's own code prepares a cache with the same settings and fewer examples, and its own shard loop makes the first shards
behind those that the codecs are fitted on. What is done once is added once; the rest is extrapolated per example.
"""

import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from math import ceil
from pathlib import Path
from typing import Any

from ...runtime.progress import duration
from ...storage.folder import PublishedFolder
from ...storage.layout import ShardRange, plan_path, segment_path, shard_path, shard_table
from ...teacher_dump.examples.segments import SEGMENTS_PER_FOLDER
from ...teacher_dump.prepare import chosen
from ...teacher_dump.shards.loop import examples_in
from ...teacher_dump.shards.space import folder_sizes, in_gb, typical_tokens
from .config import EstimateConfig
from .trial_dump import Trial, run_trial

LAST = ("logits", "inputs", "segments", "bases", "markers", "plan")
"""Signals that are named after the sites, in this order: `bases` is all of calibration, `plan` has the tokenizer, `markers` are
the documents of shards and segments."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StudentsToPay:
    """From how many students on the dump costs less than the teacher beside each of them, and how that is computed."""

    students: int | None
    """None for a dump without training examples."""
    dump_seconds: float
    epochs: float
    examples: int
    """The number of training examples."""
    forward_seconds_per_example: float
    """The time of the bare teacher."""

    @property
    def online_seconds(self) -> float:
        """The time that a student spends on the teacher where the teacher runs beside it."""
        return self.epochs * self.examples * self.forward_seconds_per_example


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """What a dump would take on this machine."""

    examples: int
    """The number of examples, validation included."""
    shards: int
    sample_examples: int
    """The number of examples that were dumped on trial."""
    bytes: Mapping[str, int]
    """The bytes by signal, and their `total`."""
    seconds: Mapping[str, float]
    """The time by part, and the `total`."""
    students_to_pay: StudentsToPay

    def as_json(self) -> dict[str, Any]:
        """Return the object that `--json` prints."""
        return asdict(self)


def estimate(config: EstimateConfig) -> Estimate:
    """Return what the dump would take, from a trial. Raise whatever the dump itself would raise."""
    shards = chosen(config, shard_table(config.validation_examples, [config.examples], config.shard_examples))
    sample = min(config.sample_examples or config.shard_examples, config.examples)
    with tempfile.TemporaryDirectory(prefix="miniend-estimate-") as folder:
        trial = run_trial(config, sample, Path(folder) / "cache")
        sizes = _sizes(config, trial, shards)
    seconds = _seconds(config, trial, shards)
    total = sum(seconds.values())
    return Estimate(
        examples=examples_in(shards),
        shards=len(shards),
        sample_examples=examples_in(trial.shards),
        bytes={**sizes, "total": round(sum(sizes.values()))},
        seconds={**seconds, "total": total},
        students_to_pay=_students_to_pay(total, config.epochs, shards, trial.forward_per_example),
    )


def _segments(dump: EstimateConfig, trial: Trial) -> tuple[int, int]:
    """Training and validation segments that the dump will publish; a corpus that ended in the trial has no more."""
    segments = trial.prepared.source.segments
    train = segments.count("train") if segments.exhausted("train") else dump.examples
    return train, dump.validation_examples


def _sizes(dump: EstimateConfig, trial: Trial, shards: list[ShardRange]) -> dict[str, int]:
    """Bytes by signal of the shards, and of everything before them."""
    sampled = [PublishedFolder(shard_path(trial.cache, shard.split, shard.number), "marker") for shard in trial.shards]
    found = Counter(folder_sizes(sampled, typical_tokens(trial.prepared)).of(examples_in(shards), len(shards)))
    folders = ceil(trial.segments / SEGMENTS_PER_FOLDER)
    texts = [PublishedFolder(segment_path(trial.cache, "train", number), "marker") for number in range(folders)]
    wanted = _segments(dump, trial)
    found.update(folder_sizes(texts).of(sum(wanted), sum(ceil(count / SEGMENTS_PER_FOLDER) for count in wanted)))
    found["bases"] = trial.prepared.calibration.total_bytes
    found["plan"] = PublishedFolder(plan_path(trial.cache), "plan").total_bytes
    names = [*(name for name in found if name not in LAST), *(name for name in LAST if name in found)]
    return {name: round(found[name]) for name in names}


def _seconds(dump: EstimateConfig, trial: Trial, shards: list[ShardRange]) -> dict[str, float]:
    """Seconds by part: all segments at the rate of those made, and what is done once."""
    segments = trial.before.segments / trial.segments * sum(_segments(dump, trial))
    loop = trial.loop_per_example * examples_in(shards) + trial.last_write
    return {**asdict(trial.before), "segments": segments, "shards": loop}


def _students_to_pay(dump: float, epochs: float, shards: list[ShardRange], forward: float) -> StudentsToPay:
    """Online, each student pays the bare teacher's forward for every training example and epoch; from the cache, none."""
    found = StudentsToPay(
        students=None,
        dump_seconds=dump,
        epochs=epochs,
        examples=examples_in([shard for shard in shards if shard.split == "train"]),
        forward_seconds_per_example=forward,
    )
    return replace(found, students=ceil(dump / found.online_seconds)) if found.online_seconds else found


def describe(facts: Estimate) -> Iterator[str]:
    """Return the lines that `miniend estimate` prints."""
    yield (
        f"{facts.examples:,} examples (validation included) in {facts.shards:,} shards; "
        f"{facts.sample_examples:,} examples were dumped on trial"
    )
    yield ""
    yield f"{'signal':<28} {'GB':>10}"
    for name, size in facts.bytes.items():
        yield f"{name:<28} {in_gb(size):>10}"
    yield ""
    yield ", ".join(f"{name} {duration(seconds)}" for name, seconds in facts.seconds.items())
    pay = facts.students_to_pay
    if pay.students is not None:
        yield (
            f"students to pay: {pay.students}, since {pay.dump_seconds:,.1f} s of dump / ({pay.epochs:g} x "
            f"{pay.examples:,} examples x {pay.forward_seconds_per_example:.3g} s of bare teacher forward) = "
            f"{pay.dump_seconds / pay.online_seconds:.2f}"
        )
