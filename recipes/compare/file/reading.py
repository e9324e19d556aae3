"""Read the YAML file of `miniend compare`: teacher, corpus, students, seeds and tasks. Complete it from its preset and check it.

preset: small                       # presets/small.yaml; everything below adds to it or changes it
teacher: path-or-hub-name
device: auto                        # or cpu, cuda
plugins: [my_terms.py]              # Python files or modules to import first, as --plugin does
dump: {corpus: "texts/*.jsonl.gz", examples: 8192}                # options of dump-teacher; filters: {filter_steps: 200} adds
                                                                  # task-aware filters, with options of `miniend filters`
train: {steps: 1000, batch_size: 32}                              # options of train-student for all rows
sizes: [2L128H, 4L128H]             # or [keep-0.3], parts of the sorted teacher of `init: pruned:SORTED`
rows:                               # each is trained in every size; the name of an objective, with or without -no-logits,
                                    # says what the row is; any other row must name its objective
  scratch:
  miniend-d: {cross_relation: qq_kk_vv}
  miniend-e-calibrated: {objective: miniend-e, cache: calibrated}
  minilm: false                     # leaves a row of the preset out; the same for caches, assistants and tasks
caches:                             # in addition to the teacher's: their differences from it; all hold the same examples
  calibrated: {relation_temperature: calibrated}
  of-assistant: {teacher: assistant}
assistants:                         # students that teach
  assistant: {size: 4L192H, objective: miniend-e}
pairs: [[miniend-e, scratch]]       # rows whose difference is reported; default: each against the first
seeds: 3                            # of distillation; fine-tuning has its own, below
learning_rates:                     # of distillation, tried with the first seed: a list, or lists by row or assistant
  others: [3e-4, 1e-3, 3e-3]
  scratch: [1e-4, 3e-4, 1e-3]
continuation: {steps: 100, learning_rate: 1e-3}                   # on hard labels, from every student; options of train-student
evaluate: {data: tasks, seeds: 2}                                 # options of evaluate for all tasks
tasks:                                                            # and for single tasks
  glue/sst2: {train_examples: 3000}
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ....errors import ConfigurationError, shortened
from ....evaluation.config import EvaluateSettings
from ....models.pruning.widths import PRUNED
from ....runtime.options import marked, names_of
from ....runtime.plugins import load_plugins
from ....runtime.typed import configured, read_options, read_value, shown
from ....runtime.yaml_file import line_of
from ....student_train.config import VARIED, StepSettings, TrainSettings
from ....teacher_dump.config import DumpSettings, ExampleSettings
from ...filters.config import FilterSettings
from .checks import check
from .settings import KEEP, MAIN, CacheRecipe, Comparison, Options, Student, kept, known_rows
from .yaml_file import read_with_preset

KEYS = (
    *("plugins", "teacher", "device", "dump", "train", "sizes", "rows", "caches", "assistants"),
    *("pairs", "seeds", "learning_rates", "continuation", "evaluate", "tasks"),
)
FILTERS = "filters"
"""The key of a cache's filters, below `dump` and below each cache."""
OTHERS = "others"
"""The key for the learning rates of all rows that are not named."""
OWN_OF_A_CACHE = tuple(name for name in names_of(DumpSettings) if name not in names_of(ExampleSettings))
"""The options in which caches can differ. All caches of a comparison hold the same examples."""
OF_A_ROW = tuple(name for name in names_of(TrainSettings) if name not in marked(TrainSettings, VARIED))
"""The options in which rows can differ; the comparison itself chooses size, learning rate and seed."""
TEACHER_LAYERS = "teacher-layers"
"""The start that, without a source, takes the layers of the comparison's teacher."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


def read_comparison(path: Path) -> Comparison:
    """Read and check a file. Raises ConfigurationError, with the place in the file, for the first mistake."""
    content = read_with_preset(path)
    try:
        return _comparison(content)
    except ConfigurationError as error:
        line = line_of(path, str(error))
        raise ConfigurationError(f"{path}{'' if line is None else f', line {line}'}: {error}") from None


def _comparison(content: Options) -> Comparison:
    if unknown := [key for key in content if key not in KEYS]:
        raise ConfigurationError(f"{shortened(unknown[0])}: unknown key; expected preset or one of {', '.join(KEYS)}")
    load_plugins(read_value(content.get("plugins", []), tuple[str, ...], "plugins"))
    if missing := [key for key in ("teacher", "dump", "sizes", "rows", "tasks") if not content.get(key)]:
        raise ConfigurationError(f"file and preset do not say {' and '.join(missing)}; add that")
    _require_known_rates(content)
    comparison = Comparison(
        teacher=read_value(content["teacher"], str, "teacher"),
        device=read_value(content.get("device", "auto"), str, "device"),
        caches=_caches(content),
        students=tuple(_students(content)),
        assistants=dict(_assistants(content)),
        pairs=tuple(_pairs(content)),
        seeds=read_value(content.get("seeds", 3), int, "seeds"),
        tasks=_tasks(content),
        continuation=_continuation(content),
    )
    check(comparison)
    return comparison


def _caches(content: Options) -> dict[str, CacheRecipe]:
    dump = dict(_mapping(content, "dump"))
    filters = dump.pop(FILTERS, False)
    common = read_options(DumpSettings, dump, "dump", names_of(DumpSettings))
    recipes = {MAIN: CacheRecipe(None, configured(DumpSettings, common, "dump"), _filters(filters, "dump"))}
    for name, changes in _named(content, "caches"):
        where = f"caches, {name}"
        teacher, own_filters = changes.pop("teacher", None), changes.pop(FILTERS, filters)
        own = read_options(DumpSettings, changes, where, OWN_OF_A_CACHE)
        settings = configured(DumpSettings, {**common, **own}, where)
        teacher = read_value(teacher, str | None, f"{where}, teacher")
        recipes[name] = CacheRecipe(teacher, settings, _filters(own_filters, where))
    return recipes


def _filters(value: Any, where: str) -> FilterSettings | None:
    """Return the settings of a cache's filters: the defaults for an empty value, and None for `false`."""
    if value is False:
        return None
    place = f"{where}, {FILTERS}"
    own = read_options(FilterSettings, _mapping({place: value}, place), place, names_of(FilterSettings))
    return configured(FilterSettings, own, place)


def _students(content: Options) -> Iterator[Student]:
    for size in read_value(content["sizes"], tuple[str, ...], "sizes"):
        for name, own in _named(content, "rows"):
            yield _student(content, name, size, own, f"rows, {name}")


def _assistants(content: Options) -> Iterator[tuple[str, Student]]:
    for name, own in _named(content, "assistants"):
        size = read_value(own.pop("size", None), str, f"assistants, {name}, size")
        yield name, _student(content, name, size, own, f"assistants, {name}")


def _student(content: Options, name: str, size: str, own: dict[str, Any], where: str) -> Student:
    cache = read_value(own.pop("cache", MAIN), str, f"{where}, cache")
    rows = known_rows()
    options = {**_train(content), **rows.get(name, {}), **read_options(TrainSettings, own, where, OF_A_ROW)}
    if options.get("init") == TEACHER_LAYERS:
        options["init"] = f"{TEACHER_LAYERS}:{content['teacher']}"
    if "objective" not in options:
        raise ConfigurationError(
            f"{where} needs an objective; add one, or use a name that implies one: {', '.join(rows)}"
        )
    settings = configured(TrainSettings, {**options, **_shape(size, options, where)}, where)
    return Student(name, cache, settings, _learning_rates(content, name, settings))


def _shape(size: str, options: Options, where: str) -> Options:
    """Return the options of train-student that a size stands for. Raises ConfigurationError if the start has other sizes."""
    keep, init = kept(size), options.get("init")
    pruned = str(init).startswith(f"{PRUNED}:")
    if keep is None and pruned:
        raise ConfigurationError(
            f"{where}: init {init} needs sizes such as {KEEP}0.3, the fraction of heads and neurons to keep; found {size}"
        )
    if keep is not None and not pruned:
        raise ConfigurationError(
            f"{where}: size {size} is a part of a sorted teacher, so it needs `init: {PRUNED}:SORTED`; found "
            f"{'none' if init is None else init}. Make SORTED with miniend prune-teacher"
        )
    return {"size": size} if keep is None else {"keep": keep}


def _learning_rates(content: Options, name: str, settings: TrainSettings) -> tuple[float, ...]:
    """Return the learning rates of a row or assistant; without any in the file, the one of its optimizer."""
    value, where = content.get("learning_rates", [settings.peak_learning_rate]), "learning_rates"
    if isinstance(value, dict):
        key = name if name in value else OTHERS
        if key not in value:
            raise ConfigurationError(f"learning_rates: found none for {name}; add {name} or {OTHERS}")
        value, where = value[key], f"learning_rates, {key}"
    rates: tuple[float, ...] = read_value(value, tuple[float, ...], where)
    if not rates:
        raise ConfigurationError(f"{where}: expected at least one, found none; name one")
    if not all(0 < rate < 1 for rate in rates) or len({f"{rate:g}" for rate in rates}) < len(rates):
        raise ConfigurationError(f"{where} should be between 0 and 1, each given once; found {shown(rates)}")
    return rates


def _require_known_rates(content: Options) -> None:
    """Raise ConfigurationError for rates of an unknown row. A row of the preset that the file leaves out is known."""
    value = content.get("learning_rates")
    known = [*_mapping(content, "rows"), *_mapping(content, "assistants")]
    for name in value if isinstance(value, dict) else ():
        if name not in (*known, OTHERS):
            raise ConfigurationError(
                f"learning_rates: unknown row or assistant {shown(name)}; expected {OTHERS} or one of {', '.join(known)}"
            )


def _train(content: Options) -> Options:
    return read_options(TrainSettings, _mapping(content, "train"), "train", OF_A_ROW)


def _continuation(content: Options) -> StepSettings | None:
    own = read_options(StepSettings, _mapping(content, "continuation"), "continuation", names_of(StepSettings))
    if not own:
        return None
    common = {name: value for name, value in _train(content).items() if name in names_of(StepSettings)}
    return configured(StepSettings, {**common, **own}, "continuation")


def _tasks(content: Options) -> dict[str, EvaluateSettings]:
    known = names_of(EvaluateSettings)
    common = read_options(EvaluateSettings, _mapping(content, "evaluate"), "evaluate", known)
    tasks: dict[str, EvaluateSettings] = {}
    for name, own in _entries(content, "tasks"):
        where = f"tasks, {shortened(name)}"
        options = {**common, **read_options(EvaluateSettings, own, where, known)}
        tasks[name] = configured(EvaluateSettings, options, where)
    return tasks


def _pairs(content: Options) -> Iterator[tuple[str, str]]:
    known, rows = list(_mapping(content, "rows")), [name for name, _ in _named(content, "rows")]
    pairs = content.get("pairs") or [[name, rows[0]] for name in rows[1:]]
    if not isinstance(pairs, list):
        raise ConfigurationError(f"pairs: expected a list of pairs of rows, found {shown(pairs)}")
    for pair in pairs:
        if not isinstance(pair, list) or len(pair) != 2:
            raise ConfigurationError(f"pairs: {shown(pair)} should be a list of two rows")
        if unknown := [name for name in pair if name not in known]:
            raise ConfigurationError(f"pairs: unknown row {shown(unknown[0])}; expected two of {', '.join(rows)}")
        if pair[0] == pair[1]:
            raise ConfigurationError(f"pairs: {pair!r} compares a row with itself; name two rows")
        if all(name in rows for name in pair):  # drops the pairs of a row that the file leaves out
            yield pair[0], pair[1]


def _mapping(content: Options, key: str) -> dict[str, Any]:
    value = content.get(key) or {}
    if not isinstance(value, dict):
        raise ConfigurationError(f"{shortened(key)} should be a mapping from options to values, found {shown(value)}")
    return value


def _entries(content: Options, key: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the entries below a key: the name, and a copy of its options. `false` leaves an entry out."""
    for name, value in _mapping(content, key).items():
        if value is not False:
            yield str(name), dict(_mapping({name: value}, name))


def _named(content: Options, key: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the entries below a key whose names become folders. Raises ConfigurationError for an unfit name."""
    for name, value in _entries(content, key):
        if not _NAME.fullmatch(name):
            raise ConfigurationError(
                f"{key}: {shown(name)} should be a name of at most 100 letters, digits, '-', '_' and '.'"
            )
        yield name, value
