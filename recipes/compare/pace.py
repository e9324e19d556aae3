"""How fast things go here, timed on a little of each: shards of the dump, steps of every student, fine-tuning on every task.

What is timed of the dump stays: they are its first shards. Measured once for an output directory and kept there.
"""

import tempfile
from dataclasses import replace
from math import ceil
from pathlib import Path

from ...cache import open_cache
from ...evaluation.evaluate import EvaluateConfig, evaluate
from ...evaluation.records import Document, read_record, write_record
from ...evaluation.sources import load_task
from ...evaluation.tasks import find_task
from ...progress import Say
from ...student_train.dry_run import TIMED
from ...student_train.train import dry_run_students
from ...teacher_dump.dump import dump_teacher
from .judging import write_untrained
from .places import Places
from .settings import MAIN, Comparison, Student

TRAINED_BATCHES, MORE_TRAINED_BATCHES = 2, 8
PREDICTED_BATCHES, MORE_PREDICTED_BATCHES = 1, 4
"""Of three short fine-tunings, whose differences are the cost of a step and of a batch of predictions."""
TEACHER = "teacher"


def measured_pace(comparison: Comparison, places: Places, say: Say) -> Document:
    """`dump`: cache -> seconds per example; `train`: student -> seconds of a whole run; `evaluate`: teacher or size -> task ->
    seconds of one fine-tuning with its predictions. An assistant that teaches or is judged is taken to cost what the teacher
    does, which is too much."""
    found = read_record(places.pace)
    if found is not None:
        return found
    say("timing a little of everything, for the plan of hours")
    dump = {
        name: _begin_cache(comparison, name, places, say) for name, of in comparison.caches.items() if not of.teacher
    }
    train = {
        one.label: _run_seconds(comparison, one, places)
        for one in (*comparison.students, *comparison.assistants.values())
    }
    models = {TEACHER: comparison.teacher}
    cache = open_cache(places.cache(MAIN), allow_unfinished=True)
    for size in comparison.sizes:
        write_untrained(cache, size, places.untrained(size))
        models[size] = str(places.untrained(size))
    judge = {name: _evaluation_seconds(comparison, model) for name, model in models.items()}
    return write_record(places.pace, {"dump": dump, "train": train, "evaluate": judge})


def _begin_cache(comparison: Comparison, name: str, places: Places, say: Say) -> float | None:
    """Dump one validation shard and what a dry run reads; seconds per example, None where all that was there already."""
    config = comparison.dump(name, comparison.teacher, places.cache(name))
    first = ceil(config.validation_examples / config.shard_examples)
    batch = max(comparison.train(one, Path(), Path(), 1e-3, 0).batch_size for one in comparison.students)
    last = min(
        first + ceil((TIMED + 1) * batch / config.shard_examples), first + ceil(config.examples / config.shard_examples)
    )
    report = dump_teacher(replace(config, shards=f"0:1,{first}:{last}"), say)
    return report.seconds / report.own_examples if report.own_examples else None


def _run_seconds(comparison: Comparison, student: Student, places: Places) -> float:
    """A student's whole run, from a few of its steps; those that take an assistant's cache are timed on the teacher's."""
    name = student.cache if comparison.caches[student.cache].teacher is None else MAIN
    config = comparison.train(student, places.cache(name), places.root / "timed", comparison.learning_rates[0], 0)
    (found,) = dry_run_students([replace(config, allow_unfinished=True)], _silent)
    return found.total_seconds


def _evaluation_seconds(comparison: Comparison, model: str) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="miniend-compare-") as folder:
        return {task: fine_tuning_seconds(comparison.evaluate(task, model, Path(folder))) for task in comparison.tasks}


def fine_tuning_seconds(config: EvaluateConfig) -> float:
    """Seconds of one fine-tuning on the one task of a configuration, with predictions on its development sets; below its output,
    which should be a temporary one."""
    (task,) = config.tasks
    data = load_task(find_task(task), config.data, _silent)
    train = min(len(data.train), config.train_examples or len(data.train))
    predicted = sum(min(len(part), config.eval_examples or len(part)) for part in data.development.values())
    sets, size = len(data.development), config.batch_size
    least = _timed(config, TRAINED_BATCHES * size, PREDICTED_BATCHES * size)
    step = (_timed(config, MORE_TRAINED_BATCHES * size, PREDICTED_BATCHES * size) - least) / (
        MORE_TRAINED_BATCHES - TRAINED_BATCHES
    )
    batch = (_timed(config, TRAINED_BATCHES * size, MORE_PREDICTED_BATCHES * size) - least) / (
        sets * (MORE_PREDICTED_BATCHES - PREDICTED_BATCHES)
    )
    return max(0.0, config.epochs * ceil(train / size) * step) + max(0.0, predicted / size * batch)


def _timed(config: EvaluateConfig, train: int, predicted: int) -> float:
    """Seconds of a fine-tuning for one epoch on so many examples."""
    (task,) = config.tasks
    output = config.output / f"{task.replace('/', '-')}-{train}-{predicted}"
    short = replace(config, output=output, train_examples=train, eval_examples=predicted, epochs=1, seeds=1)
    evaluate(replace(short, learning_rates=(1e-4,)), _silent)
    record = read_record(output / find_task(task).name / "seed-0.json") or {}
    return float(record["seconds"])


def _silent(_line: str) -> None:
    """What timing has to say is in what it finds."""
