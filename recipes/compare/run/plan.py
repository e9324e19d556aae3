"""Plan the hours of a comparison: what is missing of each stage, times how long it takes on this machine."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from ....cache import open_cache
from ....errors import CacheMismatchError, CacheUnfinishedError
from ....evaluation.records import Document
from ....runtime.progress import duration
from ....storage.folder import folder_exists
from ....storage.layout import filters_path
from ..file.paths import Paths
from ..file.settings import Comparison, Student
from .evaluation import missing_fine_tunings
from .timing import CONTINUATION, TEACHER
from .training import SEARCH_SEED, Training, is_settled


@dataclass(frozen=True, slots=True)
class Planned:
    """The work that is left in one stage."""

    what: str
    seconds: float


def planned(comparison: Comparison, paths: Paths, training: Training, timings: Document) -> list[Planned]:
    """Return what is missing, stage by stage."""
    stages = [_dumps(comparison, paths, timings)]
    if any(recipe.filters for recipe in comparison.caches.values()):
        stages.append(_filters(comparison, paths, timings))
    stages.append(_trainings(comparison, training, timings))
    if comparison.continuation:
        stages.append(_continuations(comparison, paths, training, timings))
    return [*stages, _evaluations(comparison, paths, training, timings)]


def plan_lines(stages: list[Planned]) -> Iterator[str]:
    """Yield a line for each stage, and the sum."""
    for stage in stages:
        yield f"{duration(stage.seconds):>10}  {stage.what}"
    yield f"{duration(sum(stage.seconds for stage in stages)):>10}  in total for one process, from timings on this machine"


def _dumps(comparison: Comparison, paths: Paths, timings: Document) -> Planned:
    known = [seconds for seconds in timings["dump"].values() if seconds is not None]
    missing, seconds = 0, 0.0
    for name in comparison.caches:
        config = comparison.dump(name, comparison.teacher, paths.cache(name))
        left = config.examples + config.validation_examples - _published(paths.cache(name))
        missing += left
        seconds += left * (timings["dump"].get(name) or max(known, default=0.0))
    return Planned(f"dump: {missing:,} examples into {len(comparison.caches)} caches", seconds)


def _filters(comparison: Comparison, paths: Paths, timings: Document) -> Planned:
    wanted = [name for name, recipe in comparison.caches.items() if recipe.filters]
    missing = [name for name in wanted if not folder_exists(filters_path(paths.cache(name)), "filters")]
    seconds = sum(timings["filters"][name] for name in missing)
    return Planned(f"filters of {len(missing)} caches", seconds)


def _published(cache: Path) -> int:
    """Return how many examples of a cache are published."""
    try:
        opened = open_cache(cache, allow_unfinished=True)
    except (CacheMismatchError, CacheUnfinishedError):  # it does not exist, or has not started its shards
        return 0
    return len(opened.training) + len(opened.validation)


def _trainings(comparison: Comparison, training: Training, timings: Document) -> Planned:
    runs = [
        (student, training.missing(student, seed))
        for student in comparison.students
        for seed in range(comparison.seeds)
    ]
    runs += [(student, training.missing(student, SEARCH_SEED)) for student in comparison.assistants.values()]
    seconds = sum(missing * timings["train"][student.label] for student, missing in runs)
    return Planned(f"training: {sum(missing for _, missing in runs)} runs, one after the other", seconds)


def _continuations(comparison: Comparison, paths: Paths, training: Training, timings: Document) -> Planned:
    missing = []
    for student, seed in product(comparison.students, range(comparison.seeds)):
        rate = training.rate(student)
        done = rate is not None and is_settled(paths.continued(paths.student(student, rate, seed)))
        if not done and not training.is_lost(student, seed):
            missing.append(timings["train"][f"{student.size} {CONTINUATION}"])
    return Planned(f"steps on hard labels: {len(missing)} runs", sum(missing))


def _evaluations(comparison: Comparison, paths: Paths, training: Training, timings: Document) -> Planned:

    def evaluation(student: Student, seed: int) -> Path | None:
        rate = training.rate(student)
        return None if rate is None else paths.evaluation(paths.student(student, rate, seed))

    models: list[tuple[str, Path | None, bool]] = [(TEACHER, paths.teacher_evaluation, True)]
    models += [(size, paths.evaluation(paths.untrained(size)), True) for size in comparison.sizes]
    models += [(one.size, evaluation(one, SEARCH_SEED), True) for one in comparison.assistants.values()]
    for student in comparison.students:
        seeds = [seed for seed in range(comparison.seeds) if not training.is_lost(student, seed)]
        models += [(student.size, evaluation(student, seed), seed == SEARCH_SEED) for seed in seeds]
    count, seconds = 0, 0.0
    for model, output, search in models:
        for task in comparison.tasks:
            missing = missing_fine_tunings(comparison, task, output, search)
            count += missing
            seconds += missing * timings["evaluate"][f"{model} {task}"]
    return Planned(f"evaluation: {count} fine-tunings of {len(models)} models", seconds)
