"""Time a little of everything on this machine: shards of the dump, steps of every student, fine-tuning on every task.

The timed shards stay: they are the first shards of the dump. Each timing is made once per output directory and kept there.

The plan must cost much less than what it plans. Small models are timed first. Once the timings have taken LARGEST_SHARE of what
they plan, the rest are estimated from the ones that are there, by the multiply-adds of a layer: depth times width squared.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from math import ceil
from pathlib import Path
from time import perf_counter

from ....cache import open_cache
from ....errors import ConfigurationError
from ....evaluation.config import EvaluateConfig
from ....evaluation.evaluate import evaluate
from ....evaluation.records import Document, SeedRecord, plain, read_as, write_record
from ....evaluation.tasks.known import find_task
from ....evaluation.tasks.sources import load_task
from ....models.size import Size, parse_size
from ....runtime.devices import threads_kept
from ....runtime.json_file import read_json
from ....runtime.progress import Log, duration, progress_bar, silent
from ....runtime.temporary import temporary_folder
from ....storage.documents.values import Number
from ....student_train.dry_run.dry_run import TIMED
from ....student_train.train import dry_run_students
from ....teacher_dump.dump import dump_teacher
from ..file.paths import Paths
from ..file.settings import MAIN, Comparison, Student, kept
from .evaluation import write_untrained
from .trial_caches import TrialCaches

TRAINED_BATCHES, MORE_TRAINED_BATCHES = 2, 8
PREDICTED_BATCHES, MORE_PREDICTED_BATCHES = 1, 4
"""The batches of three short fine-tunings, which follow one that warms up.

Their differences in time give the cost of a step and of a batch of predictions.
"""
TEACHER, CONTINUATION = "teacher", "continuation"
LARGEST_SHARE = 0.05
"""The share of the planned seconds that the timings may take, apart from the one that they are just at."""
ESTIMATED = ("train", "evaluate")
"""The stages whose timings may be estimated from one another."""
COUNTS = ("examples", "validation_examples")
"""The options that decide how large a dump is, and not how fast it goes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Timings:
    """What the file of timings holds."""

    dump: Mapping[str, Number | None] = field(default_factory=dict)
    filters: Mapping[str, Number] = field(default_factory=dict)
    train: Mapping[str, Number] = field(default_factory=dict)
    evaluate: Mapping[str, Number] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)


Measurement = tuple[str, str, str, Callable[[], float | None]]
"""The stage, the name, the settings that are measured, and the function that measures."""


def measured_timings(comparison: Comparison, paths: Paths, log: Log, total: Callable[[Document], float]) -> Document:
    """Return the seconds of everything, and measure what is new or has changed in the file.

    `dump` holds the seconds per example by cache; `filters` the seconds of all filters by cache; `train` the seconds of a whole
    run by student and by `SIZE continuation`; `evaluate` the seconds of one fine-tuning with its predictions by `MODEL TASK`,
    where the model is a size or the teacher; `settings` the settings of each measurement. An assistant is assumed to cost as
    much as the teacher, which is too high.
    `total` returns the seconds that such timings plan. An estimate is not kept, so it may be measured another time.
    """
    timings, trials = plain(read_as(paths.timings, Timings) or Timings()), TrialCaches(comparison, paths)
    missing = [
        one
        for one in _measurements(comparison, paths, trials, log)
        if timings["settings"].get(f"{one[0]} {one[1]}") != one[2] or one[1] not in timings[one[0]]
    ]
    if missing:
        log("timing a little of everything to plan the hours")
    works = _works(comparison)
    for stage, name, _, _ in missing:
        timings[stage].pop(name, None)
    begun, estimated = perf_counter(), []
    trials.remove()
    with (
        ExitStack() as at_the_end,
        progress_bar("timing", len(missing), "part", shown=bool(missing), kept=False) as bar,
    ):
        at_the_end.callback(trials.remove)
        for stage, name, settings, measure in missing:
            bar.update(0, facts=f"now {stage} {name}")
            guess = estimate(timings[stage], name, works) if stage in ESTIMATED else None
            if guess is not None and perf_counter() - begun > LARGEST_SHARE * total(filled(timings, missing, works)):
                estimated.append((stage, name))
                bar.update()
                continue
            timings[stage][name] = measure()
            timings["settings"][f"{stage} {name}"] = settings
            write_record(paths.timings, timings)
            if stage == "dump":
                begun = perf_counter()  # its shards stay, so they are not a cost of the plan
            bar.update()
    if missing:
        rest = f"; {len(estimated)} estimated from the others, to keep the plan short" if estimated else ""
        log(f"the timings took {duration(perf_counter() - begun)}: {len(missing) - len(estimated)} measured{rest}")
    return filled(timings, missing, works)


def filled(timings: Document, missing: Sequence[Measurement], works: Mapping[str, float]) -> Document:
    """Return timings in which the missing ones are estimated; one that cannot be estimated yet counts 0."""
    return timings | {
        stage: dict(timings[stage])
        | {
            name: estimate(timings[stage], name, works) or 0.0
            for its, name, _, _ in missing
            if its == stage and name not in timings[stage]
        }
        for stage in ESTIMATED
    }


def estimate(known: Mapping[str, float], name: str, works: Mapping[str, float]) -> float | None:
    """Return the seconds of `MODEL WHAT` from a measured one of the same WHAT and another model, scaled by the models' work.

    For want of one it takes the largest of all measured ones, scaled in the same way; None if nothing is measured.
    """
    model, _, what = name.rpartition(" ")
    works_of = {other: works.get(other.rpartition(" ")[0]) for other in known}
    scaled = {other: known[other] * works[model] / work for other, work in works_of.items() if work}
    alike = [seconds for other, seconds in scaled.items() if other.rpartition(" ")[2] == what]
    return max(alike or scaled.values(), default=None)


def _works(comparison: Comparison) -> dict[str, float]:
    """Return the relative work of a model by size, and of the teacher, which is never taken for smaller than a student.

    A size may be a path, whose shape is read only when it is trained, or a part of a teacher whose shape is not known yet; then
    all models count the same.
    """
    sizes, teacher = [*comparison.all_sizes], _teacher_work(comparison.teacher)
    if any(Path(size).exists() or (kept(size) and not teacher) for size in sizes):
        return dict.fromkeys((*sizes, TEACHER), 1.0)
    works = {size: (kept(size) or 0.0) * teacher or _work(parse_size(size)) for size in sizes}
    return works | {TEACHER: max(teacher, *works.values())}


def _work(size: Size) -> float:
    return float((size.encoder_layers + size.decoder_layers) * size.d_model**2)


def _teacher_work(teacher: str) -> float:
    """Return the same for a teacher in a folder; 0 for another one."""
    try:
        shape = read_json(Path(teacher) / "config.json")
        return float(
            (shape["num_layers"] + (shape.get("num_decoder_layers") or shape["num_layers"])) * shape["d_model"] ** 2
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return 0.0


def _measurements(comparison: Comparison, paths: Paths, trials: TrialCaches, log: Log) -> Iterator[Measurement]:
    for name, recipe in comparison.caches.items():
        if recipe.teacher is None:
            timed_options = {option: value for option, value in asdict(recipe.settings).items() if option not in COUNTS}
            yield "dump", name, _text(timed_options), partial(_begin_cache, comparison, name, paths, log)
    for name, recipe in comparison.caches.items():
        if recipe.filters is not None:
            yield "filters", name, _text(asdict(recipe.filters)), partial(trials.filter_seconds, name)
    works = _works(comparison)
    for student in sorted((*comparison.students, *comparison.assistants.values()), key=lambda one: works[one.size]):
        settings = _text([student.cache, asdict(student.settings)])
        yield "train", student.label, settings, partial(_run_seconds, comparison, student, paths, trials)
    if comparison.continuation:
        for size in comparison.sizes:
            name, settings = f"{size} {CONTINUATION}", _text(asdict(comparison.continuation))
            yield "train", name, settings, partial(_continuation_seconds, comparison, size, paths)
    for model in (*sorted(comparison.all_sizes, key=lambda size: works[size]), TEACHER):
        for task, settings_of_task in comparison.tasks.items():
            measure = partial(_evaluation_seconds, comparison, paths, model, task)
            yield "evaluate", f"{model} {task}", _text(asdict(settings_of_task)), measure


def _text(settings: object) -> str:
    return json.dumps(settings, default=str, sort_keys=True)


def _begin_cache(comparison: Comparison, name: str, paths: Paths, log: Log) -> float | None:
    """Dump the validation shards and what a dry run reads. Return the seconds per example; None if all that existed already."""
    config = comparison.dump(name, comparison.teacher, paths.cache(name))
    first = ceil(config.validation_examples / config.shard_examples)
    batch = max(one.settings.batch_size for one in comparison.students)
    last = min(
        first + ceil((TIMED + 1) * batch / config.shard_examples), first + ceil(config.examples / config.shard_examples)
    )
    with threads_kept():
        report = dump_teacher(replace(config, shards=f"0:{last}"), log)
    return report.seconds / report.own_examples if report.own_examples else None


def _continuation_seconds(comparison: Comparison, size: str, paths: Paths) -> float:
    config = comparison.continued(paths.cache(MAIN), paths.root / "timed", 0, **comparison.shape(size))
    (dry_run,) = dry_run_students([replace(config, allow_unfinished=True)], silent)
    return dry_run.total_seconds


def _run_seconds(comparison: Comparison, student: Student, paths: Paths, trials: TrialCaches) -> float:
    """Return the seconds of a student's whole run, from a few steps. An assistant's student is timed on the teacher's cache."""
    cache = trials.path(student.cache)
    config = comparison.train(student, cache, paths.root / "timed", student.learning_rates[0], 0)
    try:
        (dry_run,) = dry_run_students([replace(config, allow_unfinished=True)], silent)
    except ConfigurationError as error:
        raise ConfigurationError(f"{student.label}: {error}") from None
    return dry_run.total_seconds


def _evaluation_seconds(comparison: Comparison, paths: Paths, model: str, task: str) -> float:
    name = comparison.teacher
    if model != TEACHER:
        name = str(paths.untrained(model))
        cache = open_cache(paths.cache(MAIN), allow_unfinished=True)
        write_untrained(cache, comparison.shape(model), paths.untrained(model))
    with temporary_folder() as folder:
        return fine_tuning_seconds(comparison.evaluate(task, name, folder))


def fine_tuning_seconds(config: EvaluateConfig) -> float:
    """Return the seconds of one fine-tuning on a configuration's only task, with predictions on its development sets.

    It writes into the configuration's output directory, which should be temporary.
    """
    (task,) = config.tasks
    data, size = load_task(find_task(task), config.data, silent), config.batch_size
    train = min(len(data.train), config.train_examples or len(data.train))
    sets = [min(len(part), config.eval_examples or len(part)) for part in data.development.values()]

    def more(examples: int, least: int, most: int) -> int:
        """Return how many more batches `most` are than `least`, as far as there are examples for them; at least 1."""
        return max(1, ceil(min(examples, most * size) / size) - ceil(min(examples, least * size) / size))

    _timed(replace(config, output=config.output / "warm-up"), TRAINED_BATCHES * size, PREDICTED_BATCHES * size)
    least = _timed(config, TRAINED_BATCHES * size, PREDICTED_BATCHES * size)
    steps = _timed(config, MORE_TRAINED_BATCHES * size, PREDICTED_BATCHES * size) - least
    batches = _timed(config, TRAINED_BATCHES * size, MORE_PREDICTED_BATCHES * size) - least
    step = steps / more(len(data.train), TRAINED_BATCHES, MORE_TRAINED_BATCHES)
    batch = batches / sum(
        more(len(part), PREDICTED_BATCHES, MORE_PREDICTED_BATCHES) for part in data.development.values()
    )
    return max(0.0, ceil(config.epochs * train / size) * step) + max(0.0, sum(ceil(n / size) for n in sets) * batch)


def _timed(config: EvaluateConfig, train: int, predicted: int) -> float:
    """Return the seconds of a fine-tuning for one epoch on this many examples."""
    (task,) = config.tasks
    output = config.output / f"{task.replace('/', '-')}-{train}-{predicted}"
    short = replace(config, output=output, train_examples=train, eval_examples=predicted, epochs=1, seeds=1)
    evaluate(replace(short, learning_rates=(1e-4,)), silent, nested=True)
    record = read_as(output / find_task(task).name / "seed-0.json", SeedRecord)
    assert record is not None
    return record.seconds
