"""The YAML file of `miniend compare`: teacher and corpus, students and seeds, tasks; read, completed by its preset, and checked.

preset: small                       # presets/small.yaml, to which everything below is added, or which it changes
teacher: path-or-hub-name
device: auto                        # or cpu, cuda
plugins: [my_terms.py]              # Python files or modules to import first, as --plugin does
dump: {corpus: "texts/*.jsonl.gz", examples: 8192}                # options of dump-teacher
train: {steps: 1000, batch_size: 32}                              # options of train-student for all rows
sizes: [2L128H, 4L128H]
rows:                               # each is trained in every size; the name of an objective, alone or with -no-logits,
                                    # says what it is, and any other row names its objective
  scratch:
  miniend-d: {cross_relation: qq_kk_vv}
  miniend-e-calibrated: {objective: miniend-e, cache: calibrated}
  minilm: false                     # leaves a row of the preset out; so for caches, assistants and tasks
caches:                             # beside the one of the teacher: what is different about them; examples are the same in all
  calibrated: {relation_temperature: calibrated}
  of-assistant: {teacher: assistant}
assistants:                         # students that teach
  assistant: {size: 4L192H, objective: miniend-e}
pairs: [[miniend-e, scratch]]       # rows whose difference is reported; unless given, each against the first
seeds: 3                            # of distillation; fine-tuning has its own, below
learning_rates:                     # of distillation, tried with the first seed; a list, or lists by row or assistant
  others: [3e-4, 1e-3, 3e-3]
  scratch: [1e-4, 3e-4, 1e-3]
continuation: {steps: 100, learning_rate: 1e-3}                   # on hard labels, from every student; options of train-student
evaluate: {data: tasks, seeds: 2}                                 # options of evaluate for all tasks
tasks:                                                            # and for one
  glue/sst2: {train_examples: 3000}
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ....errors import ConfigurationError
from ....evaluation.config import EvaluateSettings
from ....runtime.options import marked, names_of
from ....runtime.plugins import load_plugins
from ....student_train.config import VARIED, StepSettings, TrainSettings
from ....teacher_dump.config import DumpSettings, ExampleSettings
from .checks import check
from .options import configured, read_options, read_value
from .settings import MAIN, CacheRecipe, Comparison, Options, Student, known_rows
from .yaml_file import read_with_preset

KEYS = (
    *("plugins", "teacher", "device", "dump", "train", "sizes", "rows", "caches", "assistants"),
    *("pairs", "seeds", "learning_rates", "continuation", "evaluate", "tasks"),
)
OTHERS = "others"
"""In place of a row's name, the learning rates of all that are not named."""
OWN_OF_A_CACHE = tuple(name for name in names_of(DumpSettings) if name not in names_of(ExampleSettings))
"""The options in which caches can differ: all caches of a comparison hold the same examples."""
OF_A_ROW = tuple(name for name in names_of(TrainSettings) if name not in marked(TrainSettings, VARIED))
"""The options in which rows can differ; the comparison itself chooses size, learning rate and seed."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


def read_comparison(path: Path) -> Comparison:
    """Read and check a file. Raises ConfigurationError that says where something is not as it should be."""
    found = read_with_preset(path)
    if unknown := [key for key in found if key not in KEYS]:
        raise ConfigurationError(f"{path}: unknown key {unknown[0]!r}; expected preset or one of {', '.join(KEYS)}")
    if missing := [key for key in ("teacher", "dump", "sizes", "rows", "tasks") if not found.get(key)]:
        raise ConfigurationError(f"{path} does not say {' and '.join(missing)}, and neither does a preset; add that")
    load_plugins(read_value(found.get("plugins", []), tuple[str, ...], "plugins"))
    _require_known_rates(found)
    comparison = Comparison(
        teacher=read_value(found["teacher"], str, "teacher"),
        device=read_value(found.get("device", "auto"), str, "device"),
        caches=_caches(found),
        students=tuple(_students(found)),
        assistants=dict(_assistants(found)),
        pairs=tuple(_pairs(found)),
        seeds=read_value(found.get("seeds", 3), int, "seeds"),
        tasks=_tasks(found),
        continuation=_continuation(found),
    )
    check(comparison)
    return comparison


def _caches(found: Options) -> dict[str, CacheRecipe]:
    common = read_options(DumpSettings, _mapping(found, "dump"), "dump", names_of(DumpSettings))
    recipes = {MAIN: CacheRecipe(None, configured(DumpSettings, common, "dump"))}
    for name, changes in _named(found, "caches"):
        where = f"caches, {name}"
        teacher = changes.pop("teacher", None)
        own = read_options(DumpSettings, changes, where, OWN_OF_A_CACHE)
        settings = configured(DumpSettings, {**common, **own}, where)
        recipes[name] = CacheRecipe(read_value(teacher, str | None, f"{where}, teacher"), settings)
    return recipes


def _students(found: Options) -> Iterator[Student]:
    for size in read_value(found["sizes"], tuple[str, ...], "sizes"):
        for name, own in _named(found, "rows"):
            yield _student(found, name, size, own, f"rows, {name}")


def _assistants(found: Options) -> Iterator[tuple[str, Student]]:
    for name, own in _named(found, "assistants"):
        size = read_value(own.pop("size", None), str, f"assistants, {name}, size")
        yield name, _student(found, name, size, own, f"assistants, {name}")


def _student(found: Options, name: str, size: str, own: dict[str, Any], where: str) -> Student:
    cache = read_value(own.pop("cache", MAIN), str, f"{where}, cache")
    rows = known_rows()
    options = {**_train(found), **rows.get(name, {}), **read_options(TrainSettings, own, where, OF_A_ROW)}
    if "objective" not in options:
        raise ConfigurationError(f"{where} needs an objective; only these names bring one: {', '.join(rows)}")
    settings = configured(TrainSettings, {**options, "size": size}, where)
    return Student(name, cache, settings, _learning_rates(found, name))


def _learning_rates(found: Options, name: str) -> tuple[float, ...]:
    """Of a row or assistant."""
    value, where = found.get("learning_rates", [3e-4]), "learning_rates"
    if isinstance(value, dict):
        key = name if name in value else OTHERS
        if key not in value:
            raise ConfigurationError(f"learning_rates: there are none for {name}; add {name} or {OTHERS}")
        value, where = value[key], f"learning_rates, {key}"
    rates: tuple[float, ...] = read_value(value, tuple[float, ...], where)
    if not rates:
        raise ConfigurationError(f"{where}: there is none left; name at least one")
    if not all(0 < rate < 1 for rate in rates) or len({f"{rate:g}" for rate in rates}) < len(rates):
        raise ConfigurationError(f"{where} should lie between 0 and 1, none twice; found {rates}")
    return rates


def _require_known_rates(found: Options) -> None:
    """Names of rows that a file leaves out may stay there, as a preset has them."""
    value = found.get("learning_rates")
    known = [*_mapping(found, "rows"), *_mapping(found, "assistants")]
    for name in value if isinstance(value, dict) else ():
        if name not in (*known, OTHERS):
            raise ConfigurationError(
                f"learning_rates: there is no row or assistant {name!r}; expected {OTHERS} or one of {', '.join(known)}"
            )


def _train(found: Options) -> Options:
    return read_options(TrainSettings, _mapping(found, "train"), "train", OF_A_ROW)


def _continuation(found: Options) -> StepSettings | None:
    own = read_options(StepSettings, _mapping(found, "continuation"), "continuation", names_of(StepSettings))
    if not own:
        return None
    common = {name: value for name, value in _train(found).items() if name in names_of(StepSettings)}
    return configured(StepSettings, {**common, **own}, "continuation")


def _tasks(found: Options) -> dict[str, EvaluateSettings]:
    known = names_of(EvaluateSettings)
    common = read_options(EvaluateSettings, _mapping(found, "evaluate"), "evaluate", known)
    tasks: dict[str, EvaluateSettings] = {}
    for name, own in _entries(found, "tasks"):
        where = f"tasks, {name}"
        options = {**common, **read_options(EvaluateSettings, own, where, known)}
        tasks[name] = configured(EvaluateSettings, options, where)
    return tasks


def _pairs(found: Options) -> Iterator[tuple[str, str]]:
    known, rows = list(_mapping(found, "rows")), [name for name, _ in _named(found, "rows")]
    for pair in found.get("pairs") or [[name, rows[0]] for name in rows[1:]]:
        if not isinstance(pair, list) or len(pair) != 2:
            raise ConfigurationError(f"pairs: {pair!r} should be a list of two rows")
        if unknown := [name for name in pair if name not in known]:
            raise ConfigurationError(f"pairs: there is no row {unknown[0]!r}; expected two of {', '.join(rows)}")
        if all(name in rows for name in pair):  # the others are those of a row that is left out
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
