"""The hours that a comparison has before it: how much is missing of each stage, times what it takes here."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from ....cache import open_cache
from ....errors import CacheMismatchError, CacheUnfinishedError
from ....evaluation.records import Document
from ....runtime.progress import duration
from ..file.paths import Places
from ..file.settings import Comparison, Student
from .evaluation import missing_fine_tunings
from .timing import CONTINUATION, TEACHER
from .training import SEARCH_SEED, Training, is_settled


@dataclass(frozen=True, slots=True)
class Planned:
    """One stage's share."""

    what: str
    seconds: float


def planned(comparison: Comparison, places: Places, training: Training, pace: Document) -> list[Planned]:
    """What is missing, stage by stage."""
    stages = [_dumps(comparison, places, pace), _trainings(comparison, training, pace)]
    if comparison.continuation:
        stages.append(_continuations(comparison, places, training, pace))
    return [*stages, _evaluations(comparison, places, training, pace)]


def plan_lines(stages: list[Planned]) -> Iterator[str]:
    """For people, with the sum."""
    for stage in stages:
        yield f"{duration(stage.seconds):>10}  {stage.what}"
    yield f"{duration(sum(stage.seconds for stage in stages)):>10}  in all by one process, by what was timed here"


def _dumps(comparison: Comparison, places: Places, pace: Document) -> Planned:
    known = [seconds for seconds in pace["dump"].values() if seconds is not None]
    missing, seconds = 0, 0.0
    for name in comparison.caches:
        config = comparison.dump(name, comparison.teacher, places.cache(name))
        left = config.examples + config.validation_examples - _published(places.cache(name))
        missing += left
        seconds += left * (pace["dump"].get(name) or max(known, default=0.0))
    return Planned(f"dump: {missing:,} examples into {len(comparison.caches)} caches", seconds)


def _published(cache: Path) -> int:
    try:
        found = open_cache(cache, allow_unfinished=True)
    except (CacheMismatchError, CacheUnfinishedError):  # none there, or none begun
        return 0
    return len(found.training) + len(found.validation)


def _trainings(comparison: Comparison, training: Training, pace: Document) -> Planned:
    runs = [
        (student, training.missing(student, seed))
        for student in comparison.students
        for seed in range(comparison.seeds)
    ]
    runs += [(student, training.missing(student, SEARCH_SEED)) for student in comparison.assistants.values()]
    seconds = sum(missing * pace["train"][student.label] for student, missing in runs)
    return Planned(f"training: {sum(missing for _, missing in runs)} runs, one after the other", seconds)


def _continuations(comparison: Comparison, places: Places, training: Training, pace: Document) -> Planned:
    missing = []
    for student, seed in product(comparison.students, range(comparison.seeds)):
        rate = training.rate(student)
        done = rate is not None and is_settled(places.continued(places.student(student, rate, seed)))
        if not done and not training.is_lost(student, seed):
            missing.append(pace["train"][f"{student.size} {CONTINUATION}"])
    return Planned(f"steps on hard labels: {len(missing)} runs", sum(missing))


def _evaluations(comparison: Comparison, places: Places, training: Training, pace: Document) -> Planned:

    def judged(student: Student, seed: int) -> Path | None:
        rate = training.rate(student)
        return None if rate is None else places.judged(places.student(student, rate, seed))

    models: list[tuple[str, Path | None, bool]] = [(TEACHER, places.teacher_judged, True)]
    models += [(size, places.judged(places.untrained(size)), True) for size in comparison.sizes]
    models += [(one.size, judged(one, SEARCH_SEED), True) for one in comparison.assistants.values()]
    for student in comparison.students:
        seeds = [seed for seed in range(comparison.seeds) if not training.is_lost(student, seed)]
        models += [(student.size, judged(student, seed), seed == SEARCH_SEED) for seed in seeds]
    count, seconds = 0, 0.0
    for model, output, search in models:
        for task in comparison.tasks:
            missing = missing_fine_tunings(comparison, task, output, search)
            count += missing
            seconds += missing * pace["evaluate"][f"{model} {task}"]
    return Planned(f"judging: {count} fine-tunings of {len(models)} models", seconds)
