"""What a cache knows of the options of its dump: the plan knows what it was made with, and `dump.yaml` where that was.

So `miniend dump-teacher --cache CACHE` is enough to go on, and `--examples` in addition to let the cache grow. The plan does not
hold paths, because caches are shared; `dump.yaml` does, and may be removed.
"""

from collections.abc import Iterator
from typing import Any

from ..errors import ConfigurationError
from ..runtime.given import Record, Values
from ..runtime.local_names import BUILT_IN_CORPORA
from ..runtime.records import as_yaml, record_of
from ..signals.choices import NOTHING
from ..storage.beside import read_beside, write_beside
from ..storage.documents.plan import CorpusPart, Plan, PlannedLogits
from ..storage.folder import PublishedFolder, folder_exists
from ..storage.layout import plan_path, read_extents
from ..storage.stores.place import Where, place_of
from ..storage.survey import OPTIONS_FILE
from .config import DEFAULT_FIELDS, DEFAULT_LOGITS, DumpConfig, default_hidden_error


def keep_record(config: DumpConfig) -> None:
    """Write the options of a dump beside its cache. They must be in force: agreed with the plan."""
    from ..models.lent import true_name  # imports torch, which reading a record does not need

    record = record_of(config, teacher=true_name(config.teacher))
    write_beside(config.cache, OPTIONS_FILE, as_yaml("dump-teacher", "--cache", record))


def recorded_dump(given: Values) -> Record | None:
    """Return what the cache that is given knows of the options of its dump; None if it does not hold anything yet."""
    cache = given.get("cache")
    if cache is None:
        return None
    plan = PublishedFolder(plan_path(cache), "plan").parsed(Plan) if folder_exists(plan_path(cache), "plan") else None
    written = written_options(cache)
    if plan is None and written is None:
        return None
    place = place_of(cache)
    values = {**(_of_plan(plan) if plan else {}), **(written or {})}
    totals = [extent.examples for extent in read_extents(cache, plan.digest)] if plan else []
    if totals:
        values["examples"] = max(totals[-1], _examples_of(written))
    source = str(place / OPTIONS_FILE) if written is not None else f"the plan of {place}"
    return Record(source=source, values=values, unsaid=_unsaid(plan) if plan else {})


def written_options(cache: Where) -> dict[str, Any] | None:
    """Return the options in the file beside the cache; None if it is not there."""
    from ..runtime.yaml_file import parse_yaml

    content = read_beside(cache, OPTIONS_FILE)
    if content is None:
        return None
    name = str(place_of(cache) / OPTIONS_FILE)
    try:
        return parse_yaml(content.decode(), name)
    except UnicodeDecodeError:
        raise ConfigurationError(f"{name} is not text in UTF-8; remove it, and give all options") from None


def _examples_of(written: dict[str, Any] | None) -> int:
    """Return the number of examples that the file says, larger than the extents' if the cache is about to grow; else 0."""
    examples = written.get("examples") if written else None
    return examples if type(examples) is int else 0


def _of_plan(plan: Plan) -> dict[str, Any]:
    """Return the options that a plan knows, by the names of their fields."""
    task, signals = plan.task, plan.signals
    values: dict[str, Any] = {
        "task": task.kind if task.pairs else None,
        "encoder_only": task.text,
        "input_length": task.input_length,
        "shuffle_buffer": plan.corpus.shuffle_buffer,
        "drop_duplicates": bool(plan.corpus.distinct),
        "field": _fields(plan),
        "seed": plan.seed,
        "validation_examples": plan.validation_examples,
        "batch_size": plan.batch_size,
        "shard_examples": plan.shard_examples,
        "codec": plan.codec,
        "dtype": plan.teacher.dtype,
        "signals": [*signals.relations, *signals.hidden] or [NOTHING],
        **{name: getattr(signals, name) for name in ("relation_kl", "relation_step", "relation_rank")},
        **{name: getattr(signals, name) for name in ("relation_temperature", "hidden_code")},
        "calibration_examples": signals.calibration_examples,
    }
    if any(part.weight != 1 for part in plan.corpus.parts):
        values["corpus_weight"] = [part.weight for part in plan.corpus.parts]
    if task.pairs:
        values |= {"target_length": task.target_length, "prefix": task.prefix}
    elif task.text:
        values |= {"prefix": task.prefix, "residues": task.residues, "pipeline": task.pipeline}
    else:
        corruption = task.corrupted
        values |= {"noise_density": corruption.noise_density, "mean_noise_span_length": corruption.mean_span}
        values["shortest_input_length"] = corruption.shortest_input_length
    values |= {} if task.text else _of_logits(signals.logits)
    if signals.hidden_error != default_hidden_error(signals.logits.kind if signals.logits else NOTHING):
        values["hidden_error"] = signals.hidden_error
    if plan.teacher.revision is not None:
        values["teacher"] = plan.teacher.name
    names = [name for part in plan.corpus.parts for name in _name_of(part)]
    if len(names) == len(plan.corpus.parts):
        values["corpus"] = names
    splits = {part.hub.split for part in plan.corpus.parts if part.hub}
    return values | ({"split": splits.pop()} if len(splits) == 1 else {})


def _fields(plan: Plan) -> list[str]:
    """Return the fields of the corpora, once if all have the same, and none if these are the task's own."""
    fields = [part.fields or plan.corpus.fields for part in plan.corpus.parts]
    if len({*fields}) > 1:
        return [name for own in fields for name in own]
    return [] if fields[0] == DEFAULT_FIELDS[plan.task.kind] else list(fields[0])


def _of_logits(logits: PlannedLogits | None) -> dict[str, Any]:
    if logits is None:
        return {"logits": NOTHING}
    if logits.from_states:
        return {"logits": logits.kind}
    values: dict[str, Any] = {
        "logits": None if logits.kind == DEFAULT_LOGITS else logits.kind,
        "logit_step": logits.step,
    }
    if logits.kind == "top-k":
        return values | {"top_k": logits.k, "top_p": logits.top_p, "temperatures": list(logits.temperatures)}
    return values | {"draws": logits.draws}


def _name_of(part: CorpusPart) -> Iterator[str]:
    """Yield the name of a corpus as the command line takes it, if the plan knows it."""
    if part.kind in BUILT_IN_CORPORA:
        yield part.kind
    elif part.hub is not None and part.hub.revision is not None:
        yield f"hf:{part.hub.name}{f':{part.hub.config}' if part.hub.config else ''}"


def _unsaid(plan: Plan) -> dict[str, str]:
    """Return why a plan cannot say the teacher or the corpus: it knows local files by their content."""
    files = [file.name for part in plan.corpus.parts for file in part.files or ()]
    shown = f" {files[0]}{' and more' if len(files) > 1 else ''}" if files else ""
    return {
        "teacher": f"the plan knows the teacher's folder only by its name, {plan.teacher.name}, and its content",
        "corpus": f"the plan knows the corpus{shown} only by its content",
    }
