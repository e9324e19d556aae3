"""The YAML file of `miniend compare`: teacher and corpus, students and seeds, tasks; read, completed by its preset, and checked.

preset: small                       # presets/small.yaml, to which everything below is added, or which it changes
teacher: path-or-hub-name
dump: {corpus: "texts/*.jsonl.gz", examples: 8192}                # options of dump-teacher
train: {steps: 1000, batch_size: 32}                              # options of train-student
sizes: [2L128H, 4L128H]
rows:                               # each is trained in every size; a name of ROWS needs no options
  scratch:
  miniend-e-calibrated: {objective: miniend-e, cache: calibrated}
  minilm: false                     # leaves a row of the preset out; so for caches, assistants and tasks
caches:                             # beside the one of the teacher: what is different about them
  calibrated: {relation_temperature: calibrated}
  of-assistant: {teacher: assistant}
assistants:                         # students that teach
  assistant: {size: 4L192H, objective: miniend-e}
pairs: [[miniend-e, scratch]]       # rows whose difference is reported; unless given, each against the first
seeds: 3                            # of distillation; fine-tuning has its own, below
learning_rates: [3e-4, 1e-3, 3e-3]  # of distillation, tried with the first seed
evaluate: {data: tasks, seeds: 2}                                 # options of evaluate for all tasks
tasks:                                                            # and for one
  glue/sst2: {train_examples: 3000}
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...errors import ConfigurationError
from ...evaluation.evaluate import EvaluateConfig
from ...student_train.config import TrainConfig
from ...student_train.objective import build_objective
from ...teacher_dump.config import DumpConfig
from .options import read_options, read_value
from .settings import MAIN, ROWS, CacheRecipe, Comparison, Options, Student
from .yaml_file import read_with_preset

KEYS = (
    *("teacher", "device", "dump", "train", "sizes", "rows", "caches", "assistants"),
    *("pairs", "seeds", "learning_rates", "evaluate", "tasks"),
)
OWN_DUMP = ("teacher", "cache", "device", "shards", "force")
OWN_TRAIN = ("cache", "output", "size", "learning_rate", "seed", "device", "allow_unfinished")
OWN_EVALUATE = ("model", "tasks", "output", "device")
"""Fields that a comparison sets itself."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


def read_comparison(path: Path) -> Comparison:
    """Read and check a file. Raises ConfigurationError that says where something is not as it should be."""
    found = read_with_preset(path)
    if unknown := [key for key in found if key not in KEYS]:
        raise ConfigurationError(f"{path}: unknown key {unknown[0]!r}; expected preset or one of {', '.join(KEYS)}")
    if missing := [key for key in ("teacher", "dump", "sizes", "rows", "tasks") if not found.get(key)]:
        raise ConfigurationError(f"{path} does not say {' and '.join(missing)}, and neither does a preset; add that")
    train = read_options(TrainConfig, _mapping(found, "train"), "train", OWN_TRAIN)
    comparison = Comparison(
        teacher=read_value(found["teacher"], str, "teacher"),
        device=read_value(found.get("device", "auto"), str, "device"),
        caches=_caches(found),
        students=tuple(_students(found, train)),
        assistants=dict(_assistants(found, train)),
        pairs=tuple(_pairs(found)),
        seeds=read_value(found.get("seeds", 3), int, "seeds"),
        learning_rates=read_value(found.get("learning_rates", [3e-4]), tuple[float, ...], "learning_rates"),
        tasks=_tasks(found),
    )
    _check(comparison)
    return comparison


def _caches(found: Options) -> dict[str, CacheRecipe]:
    common = read_options(DumpConfig, _mapping(found, "dump"), "dump", OWN_DUMP)
    recipes = {MAIN: CacheRecipe(None, common)}
    for name, changes in _named(found, "caches"):
        where = f"caches, {name}"
        teacher = changes.pop("teacher", None)
        own = read_options(DumpConfig, changes, where, OWN_DUMP)
        recipes[name] = CacheRecipe(read_value(teacher, str | None, f"{where}, teacher"), {**common, **own})
    return recipes


def _students(found: Options, train: Options) -> Iterator[Student]:
    for size in read_value(found["sizes"], tuple[str, ...], "sizes"):
        for name, own in _named(found, "rows"):
            if not own and name not in ROWS:
                raise ConfigurationError(f"rows: {name} needs options; known by name alone are {', '.join(ROWS)}")
            yield _student(name, size, own or dict(ROWS[name]), train, f"rows, {name}")


def _assistants(found: Options, train: Options) -> Iterator[tuple[str, Student]]:
    for name, own in _named(found, "assistants"):
        size = read_value(own.pop("size", None), str, f"assistants, {name}, size")
        yield name, _student(name, size, own, train, f"assistants, {name}")


def _student(name: str, size: str, own: dict[str, Any], train: Options, where: str) -> Student:
    cache = read_value(own.pop("cache", MAIN), str, f"{where}, cache")
    return Student(name, size, cache, {**train, **read_options(TrainConfig, own, where, OWN_TRAIN)})


def _tasks(found: Options) -> dict[str, Options]:
    common = read_options(EvaluateConfig, _mapping(found, "evaluate"), "evaluate", OWN_EVALUATE)
    tasks: dict[str, Options] = {}
    for name, own in _entries(found, "tasks"):
        tasks[name] = {**common, **read_options(EvaluateConfig, own, f"tasks, {name}", OWN_EVALUATE)}
    return tasks


def _pairs(found: Options) -> Iterator[tuple[str, str]]:
    rows = [name for name, _ in _named(found, "rows")]
    for pair in found.get("pairs") or [[name, rows[0]] for name in rows[1:]]:
        if not isinstance(pair, list) or len(pair) != 2:
            raise ConfigurationError(f"pairs: {pair!r} should be a list of two rows")
        if all(name in rows for name in pair):  # of a preset's pairs, those whose rows are there
            yield pair[0], pair[1]


def _mapping(found: Options, key: str) -> dict[str, Any]:
    value = found.get(key) or {}
    if not isinstance(value, dict):
        raise ConfigurationError(f"{key} should hold options, each with its value, found {value!r}")
    return value


def _entries(found: Options, key: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """What stands below a key by its name, a copy of its options; `false` leaves it out."""
    for name, value in _mapping(found, key).items():
        if value is not False:
            yield str(name), dict(_mapping({name: value}, name))


def _named(found: Options, key: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Entries whose names become folders."""
    for name, value in _entries(found, key):
        if not _NAME.fullmatch(name):
            raise ConfigurationError(f"{key}: {name!r} should be a name of letters, digits, '-', '_' and '.'")
        yield name, value


def _check(comparison: Comparison) -> None:
    """Build every configuration once, so that a mistake ends the command now and not after hours."""
    if comparison.seeds < 1:
        raise ConfigurationError(f"seeds should be at least 1, not {comparison.seeds}")
    rates = comparison.learning_rates
    if not all(0 < rate < 1 for rate in rates) or len(set(rates)) < len(rates):
        raise ConfigurationError(f"learning_rates should lie between 0 and 1, none twice; found {rates}")
    everyone = [*comparison.students, *comparison.assistants.values()]
    if len({student.label for student in everyone}) < len(everyone):
        raise ConfigurationError("an assistant and a row of one size have the same name; give it another")
    for name in comparison.caches:
        _require_chain_ends(comparison, name)
        if comparison.dump(name, comparison.teacher, Path(name)).validation_examples < 1:
            raise ConfigurationError(
                "dump: validation_examples should be at least 1: learning rates are chosen by them"
            )
    for student in everyone:
        _check_student(comparison, student)
    for task in comparison.tasks:
        comparison.evaluate(task, comparison.teacher, Path(task))


def _check_student(comparison: Comparison, student: Student) -> None:
    if student.cache not in comparison.caches:
        known = ", ".join(comparison.caches)
        raise ConfigurationError(f"{student.name}: there is no cache {student.cache}; expected one of {known}")
    try:
        config = comparison.train(student, Path("cache"), Path("output"), comparison.learning_rates[0], 0)
        build_objective(config.objective, config.logits, config.cross_relation, config.weight, config.temperature)
    except ConfigurationError as error:
        raise ConfigurationError(f"{student.name}: {error}") from None


def _require_chain_ends(comparison: Comparison, name: str) -> None:
    """From a cache over its assistant to that one's cache and so on, the chain should end at the teacher."""
    seen = [name]
    while (teacher := comparison.caches[seen[-1]].teacher) is not None:
        if teacher not in comparison.assistants:
            known = ", ".join(comparison.assistants) or "none"
            raise ConfigurationError(f"caches, {seen[-1]}: no assistant is named {teacher}; there are {known}")
        following = comparison.assistants[teacher].cache
        if following in seen or following not in comparison.caches:
            raise ConfigurationError(f"caches, {name}: its teachers never come to an end: {' <- '.join(seen)}")
        seen.append(following)
