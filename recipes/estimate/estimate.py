"""`miniend estimate`: estimate the bytes and hours of a dump by doing a little of it in a temporary directory.

The dump's own code prepares a cache with the same settings and fewer examples. Its own shard loop then makes a few shards of the
examples that follow the ones the codecs are fitted on. One-off costs are added once; the rest is extrapolated per example.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from math import ceil
from typing import Any

from ...runtime.progress import duration
from ...runtime.showing import Shown, Table, heading
from ...runtime.temporary import temporary_folder
from ...storage.folder import PublishedFolder
from ...storage.layout import ShardRange, plan_path, segment_path, shard_path, shard_table
from ...teacher_dump.examples.segments import SEGMENTS_PER_FOLDER
from ...teacher_dump.prepare import chosen
from ...teacher_dump.shards.loop import examples_in
from ...teacher_dump.shards.space import folder_sizes, in_gb, typical_tokens
from .config import EstimateConfig
from .trial_dump import Trial, run_trial

LAST = ("logits", "inputs", "segments", "bases", "markers", "plan")
"""The signals to name after the sites, in this order.

`bases` is the whole calibration, `plan` includes the tokenizer, and `markers` are the documents of shards and segments.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class StudentsToPay:
    """The number of students from which the dump costs less than a live teacher for each student, and how we compute it."""

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


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class Estimate(Shown):
    """The estimated bytes and times of a dump on this machine."""

    examples: int
    """The number of examples, validation included."""
    shards: int
    sample_examples: int
    """The number of examples in the trial."""
    bytes: Mapping[str, int]
    """The bytes by signal, and their `total`."""
    seconds: Mapping[str, float]
    """The seconds by part, and their `total`."""
    students_to_pay: StudentsToPay

    def as_json(self) -> dict[str, Any]:
        """Return the object that `--json` prints."""
        return asdict(self)

    def lines(self) -> Iterable[str]:
        """Return the lines that `miniend estimate` prints."""
        return describe(self)

    def html(self) -> Iterator[str]:
        """Yield the tables for a notebook."""
        yield heading(f"{self.examples:,} examples in {self.shards:,} shards, from {self.sample_examples:,} in a trial")
        yield Table(("signal", "GB"), [(name, in_gb(size)) for name, size in self.bytes.items()]).html()
        yield Table(("part", "time"), [(name, duration(seconds)) for name, seconds in self.seconds.items()]).html()
        if self.students_to_pay.students is not None:
            yield heading(f"pays from {self.students_to_pay.students} students on")


def estimate(config: EstimateConfig) -> Estimate:
    """Run a trial and return the estimate of the dump. Raise whatever the dump itself would raise."""
    shards = chosen(config, shard_table(config.validation_examples, [config.examples], config.shard_examples))
    sample = min(config.sample_examples or config.shard_examples, config.examples)
    with temporary_folder() as folder:
        trial = run_trial(config, sample, folder / "cache")
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
    """Return how many training and validation segments the dump will publish. A corpus may end within the trial."""
    segments = trial.prepared.source.segments
    train = segments.count("train") if segments.exhausted("train") else dump.examples
    return train, dump.validation_examples


def _sizes(dump: EstimateConfig, trial: Trial, shards: list[ShardRange]) -> dict[str, int]:
    """Return the bytes by signal of the shards, and of everything that is published before them."""
    sampled = [PublishedFolder(shard_path(trial.cache, shard.split, shard.number), "marker") for shard in trial.shards]
    sizes = Counter(folder_sizes(sampled, typical_tokens(trial.prepared)).of(examples_in(shards), len(shards)))
    folders = ceil(trial.segments / SEGMENTS_PER_FOLDER)
    texts = [PublishedFolder(segment_path(trial.cache, "train", number), "marker") for number in range(folders)]
    wanted = _segments(dump, trial)
    sizes.update(folder_sizes(texts).of(sum(wanted), sum(ceil(count / SEGMENTS_PER_FOLDER) for count in wanted)))
    sizes["bases"] = trial.prepared.calibration.total_bytes
    sizes["plan"] = PublishedFolder(plan_path(trial.cache), "plan").total_bytes
    names = [*(name for name in sizes if name not in LAST), *(name for name in LAST if name in sizes)]
    return {name: round(sizes[name]) for name in names}


def _seconds(dump: EstimateConfig, trial: Trial, shards: list[ShardRange]) -> dict[str, float]:
    """Return the seconds by part: segments and shards at the rate of the trial, and the one-off costs."""
    segments = trial.before.segments / trial.segments * sum(_segments(dump, trial))
    loop = trial.loop_per_example * examples_in(shards) + trial.last_write
    return {**asdict(trial.before), "segments": segments, "shards": loop}


def _students_to_pay(dump: float, epochs: float, shards: list[ShardRange], forward: float) -> StudentsToPay:
    """Return when the dump pays. Online, each student costs a teacher forward per training example and epoch."""
    costs = StudentsToPay(
        students=None,
        dump_seconds=dump,
        epochs=epochs,
        examples=examples_in([shard for shard in shards if shard.split == "train"]),
        forward_seconds_per_example=forward,
    )
    return replace(costs, students=ceil(dump / costs.online_seconds)) if costs.online_seconds else costs


def describe(facts: Estimate) -> Iterator[str]:
    """Return the lines that `miniend estimate` prints."""
    yield (
        f"{facts.examples:,} examples (validation included) in {facts.shards:,} shards; "
        f"the trial dumped {facts.sample_examples:,} examples"
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
            f"students to pay: {pay.students}, because {pay.dump_seconds:,.1f} s of dump / ({pay.epochs:g} x "
            f"{pay.examples:,} examples x {pay.forward_seconds_per_example:.3g} s of bare teacher forward) = "
            f"{pay.dump_seconds / pay.online_seconds:.2f}"
        )
