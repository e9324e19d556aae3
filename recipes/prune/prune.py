"""`miniend prune-teacher`: load the teacher of a cache, rank its heads and neurons on the cache's examples, and sort it.

The teacher is needed here, and at no other place after the dump. What is written is an ordinary checkpoint that computes what the
teacher computes; `train-student --init pruned:SORTED --keep 0.5` cuts it.
"""

from dataclasses import asdict
from pathlib import Path
from shlex import quote
from typing import Any

import torch

from ...cache import Cache, open_cache
from ...errors import CacheUnfinishedError, ConfigurationError, RunMismatchError, one_line
from ...models.pruning.groups import groups_of
from ...models.pruning.importance import Ranking, mean_loss, rankings
from ...models.pruning.sorting import sort_model
from ...models.save import save_student
from ...models.start.checkpoint import load_student
from ...runtime.claims import holds_files, sole_writer
from ...runtime.devices import choose_device
from ...runtime.durable import is_there
from ...runtime.identity import ANOTHER_OUTPUT, require_same
from ...runtime.links import require_no_links
from ...runtime.options import typed_by_identity
from ...runtime.printing import Result
from ...runtime.progress import Log
from ...runtime.there import look
from ...student_train.run.directory import WEIGHTS
from ...student_train.run.setup import start_request
from ...teacher_dump.teacher import teacher_of
from .card import pruning_card
from .config import PruneConfig
from .losses import batches_of, losses_of
from .record import GroupRecord, PruningRecord, RemovalRecord, read_pruning, write_pruning
from .recorded import FILE, keep_record
from .sorted_teacher import SortedTeacher
from .table import rows

TYPED = {**typed_by_identity(PruneConfig), "teacher_digest": "--teacher", "plan_digest": "--cache"}
SAME = 1e-4
"""The relative difference of two losses that are equal but for float32."""
DIGITS = 6
"""The digits of a score that are written; there is one for each neuron."""


def prune_teacher(config: PruneConfig, log: Log) -> SortedTeacher:
    """Sort the teacher into the output directory, and return it. A finished one that is there already is returned as it is.

    Raises CacheUnfinishedError for a cache that is not finished, CacheMismatchError for a teacher that is not the cache's,
    RunMismatchError for an output that holds something else, and what loading raises.
    """
    with sole_writer(config.output):
        cache = open_cache(config.cache, allow_unfinished=True)
        if not cache.complete:
            raise CacheUnfinishedError(f"{cache.path} is unfinished; run dump-teacher again to finish it first")
        done = _finished(config, cache)
        if done:
            log(f"{config.output} holds this sorted teacher already")
        found = SortedTeacher(config.output, done or _sort(config, cache, log))
    for line in found.lines():
        log(Result(line))
    where, start = quote(one_line(str(config.cache))), quote(f"pruned:{one_line(str(config.output))}")
    log(f"next: miniend train-student --cache {where} --init {start} --keep 0.5 --output student")
    return found


def _finished(config: PruneConfig, cache: Cache) -> PruningRecord | None:
    """Return the record of the sorted teacher that the output holds; None if it is to be made.

    Raises RunMismatchError if the output holds another one, or files of something else.
    """
    require_no_links(config.output)
    record = read_pruning(config.output)
    if record is None:
        if holds_files(config.output) and not is_there(config.output / FILE):
            raise RunMismatchError(
                f"{config.output} exists and does not hold a sorted teacher: it is {look(config.output).words}; name an empty "
                "or new directory"
            )
        return None
    theirs = asdict(record) | {"examples": len(record.examples)}
    ours = {
        "teacher_digest": cache.plan.teacher.tensor_digest,
        "plan_digest": cache.plan.digest,
        "importance": config.importance,
        "examples": min(config.examples, len(cache.training)),
    }
    require_same(f"{config.output} holds another sorted teacher", theirs, ours, ANOTHER_OUTPUT, typed=TYPED)
    return record if is_there(config.output / WEIGHTS) else None


def _sort(config: PruneConfig, cache: Cache, log: Log) -> PruningRecord:
    cache.predicting_teacher("miniend prune-teacher")
    device = choose_device(config.device)
    revision = teacher_of(cache.plan, config.teacher, torch.device("cpu"), str(cache.path)).revision
    keep_record(config)
    model = load_student(config.teacher, start_request(cache, None, 0)["teacher_config"], revision)
    model.eval().requires_grad_(False).to(device)
    batches = batches_of(cache, cache.training, device, config.examples)
    held_out = batches_of(cache, cache.validation, device)
    examples = tuple(number for batch in batches for number in batch.examples)
    losses = losses_of(model, cache, batches)
    before = mean_loss(losses)
    log(f"teacher {cache.plan.teacher.name}: {before:.4f} nats per target token on {len(examples):,} training examples")
    found = rankings(model, losses, config.importance)
    kinds = {name: group.kind for name, group in groups_of(model).items()}
    sort_model(model, {name: ranking.order for name, ranking in found.items()})
    _require_same_loss(before, mean_loss(losses))

    def loss(smaller: Any) -> float | None:
        return mean_loss(losses_of(smaller, cache, held_out)) if held_out else None

    record = PruningRecord(
        teacher=cache.plan.teacher.name,
        teacher_digest=cache.plan.teacher.tensor_digest,
        plan_digest=cache.plan.digest,
        cache_digest=cache.digest,
        importance=config.importance,
        examples=examples,
        loss=before,
        validation_examples=len(cache.validation),
        groups={name: _group(kinds[name], ranking) for name, ranking in found.items()},
        table=tuple(rows(model.to("cpu"), device, loss)),
    )
    write_pruning(config.output, record)
    _draw(record, config.output, log)
    save_student(model, config.output, cache.tokenizer_files(), pruning_card(record, revision is not None))
    return record


def _require_same_loss(before: float, after: float) -> None:
    """Raise ConfigurationError if sorting has changed what the model computes, as for a family that states wrong units."""
    if abs(after - before) > SAME * max(1.0, before):
        raise ConfigurationError(
            f"sorting changed the loss from {before:.4f} to {after:.4f} nats, so the family does not state all parameters that "
            "heads or neurons share; correct its `units`"
        )


def _group(kind: str, ranking: Ranking) -> GroupRecord:
    scores = None if ranking.scores is None else tuple(float(f"{score:.{DIGITS}g}") for score in ranking.scores)
    rounds = ranking.removals
    removals = None if rounds is None else tuple(RemovalRecord(units=one.units, loss=one.loss) for one in rounds)
    return GroupRecord(kind=kind, order=ranking.order, scores=scores, removals=removals)


def _draw(record: PruningRecord, folder: Path, log: Log) -> None:
    """Draw the losses; without matplotlib say so."""
    if not record.validation_examples:
        log("no picture: the cache does not have validation examples, on which losses are measured")
        return
    try:
        from .picture import draw
    except ConfigurationError as error:
        log(f"no picture: {error}")
        return
    draw(record.table, folder)
