"""Putting a run together: what is read of the cache, student, objective, optimiser, and what the objective cannot reach."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from ...cache.cache import Cache
from ...models.gradient_checkpointing import checkpoint_blocks
from ...models.optimizers import build_optimiser
from ...models.size import describe_size, student_config
from ...models.student import build_student, init_from_teacher, load_student
from ...runtime.progress import Say
from ...signals.codes.site_codec import SiteCodec
from ...signals.relations.relations import check_relation_heads, default_relation_heads
from ..config import DEFAULT_SIZE, TEACHER_LAYERS, TrainConfig
from ..distillation import Distillation
from ..objective import Objective
from ..reading.batch import Batch
from ..reading.loader import BatchSource, in_order
from ..reading.teacher_signals import Needs, TeacherDecoder, build_decoder, needed_columns
from .unreached import freeze, require_encoder_gradient, summarise_unreached, unreached_parameters


@dataclass(frozen=True)
class Feed:
    """What is read of a cache, and decoded, once for all students in training."""

    cache: Cache
    training: BatchSource
    validation: BatchSource
    decoder: TeacherDecoder
    device: torch.device

    @cached_property
    def fidelity(self) -> Mapping[str, Any]:
        """`Cache.fidelity()`, which reads every marker, once."""
        return self.cache.fidelity()


def open_feed(cache: Cache, needs: Sequence[Needs], device: torch.device) -> Feed:
    """The feed of all that some objective needs."""
    columns, pad_id = needed_columns(cache, needs), cache.plan.document["teacher"]["pad_id"]
    training, validation = (BatchSource(split, columns, pad_id) for split in (cache.training, cache.validation))
    return Feed(cache, training, validation, build_decoder(cache, needs, device), device)


@dataclass(frozen=True, slots=True)
class Setup:
    """One student with all that its training needs."""

    config: TrainConfig
    feed: Feed
    objective: Objective
    distillation: Distillation
    evaluation: Distillation
    optimiser: torch.optim.Optimizer
    unreached: list[str]

    @property
    def student(self) -> Any:
        """The model in training."""
        return self.distillation.student


def set_up(
    config: TrainConfig,
    feed: Feed,
    objective: Objective,
    codecs: Mapping[str, SiteCodec],
    say: Say,
) -> Setup:
    """Build the student, probe and freeze what the objective cannot reach, and say what will be trained."""
    teacher = feed.cache.plan.document["teacher"]
    student = _make_student(config, teacher).to(feed.device)
    if config.gradient_checkpointing:
        checkpoint_blocks(student)
    heads = _relation_heads(config, codecs, student)
    distillation, evaluation = (
        Distillation(student, wanted, codecs, heads, teacher["start_id"], teacher["pad_id"])
        for wanted in (objective, _with_labels(objective))
    )
    probe = next(in_order(feed.training, min(4, config.batch_size))).to(feed.device)
    unreached = _freeze_unreached(distillation, probe, feed.decoder)
    optimiser = build_optimiser(
        config.optimizer, student.named_parameters(), config.peak_learning_rate, config.weight_decay
    )
    say(
        f"student: {describe_size(student.config.to_dict())}; {sum(p.numel() for p in student.parameters()):,} parameters"
    )
    for term, weight in objective.weights.items():
        against = f" against the teacher's {codecs[term].site}" if term in codecs else ""
        say(f"  {weight:g} x {term}{against}: {objective.reading(term)}")
    for line in summarise_unreached(unreached):
        say(f"  frozen, for the objective does not reach it: {line}")
    return Setup(config, feed, objective, distillation, evaluation, optimiser, unreached)


def _make_student(config: TrainConfig, teacher: Mapping[str, Any]) -> Any:
    way, source = config.start
    if config.starts_from_checkpoint:
        return load_student(source, teacher["config"])
    size = config.size or DEFAULT_SIZE
    if way == TEACHER_LAYERS:
        return init_from_teacher(_student_config(teacher, size), source)
    return fresh_student(teacher, size, config.seed)


def fresh_student(teacher: Mapping[str, Any], size: str, seed: int) -> Any:
    """A student of random weights; `teacher` is what the cache's plan says of its teacher."""
    return build_student(_student_config(teacher, size), teacher["facts"]["tied"], seed)


def _student_config(teacher: Mapping[str, Any], size: str) -> dict[str, Any]:
    rows = {"vocab_size": teacher["facts"]["vocab_rows"]}  # which a config.json may leave to its default
    return student_config(size, teacher["config"] | rows)


def _relation_heads(config: TrainConfig, codecs: Mapping[str, SiteCodec], student: Any) -> int:
    inner = student.config.num_heads * student.config.d_kv
    widths = [codec.inner for codec in codecs.values()]
    if config.relation_heads is None:
        return default_relation_heads(inner, *widths)
    if widths:
        check_relation_heads(config.relation_heads, student=inner, teacher=math.gcd(*widths))
    return config.relation_heads


def _with_labels(objective: Objective) -> Objective:
    """For evaluation: hard-label cross-entropy beside the objective's own terms, where the head is trained."""
    if not objective.needs_head:
        return objective
    return replace(objective, weights={**objective.weights, "labels": objective.weights.get("labels", 1.0)})


def _freeze_unreached(distillation: Distillation, batch: Batch, decoder: TeacherDecoder) -> list[str]:
    signals = decoder.decode(batch)

    def loss() -> Tensor:
        return distillation.total(distillation(batch, signals), distillation.counts(batch))

    names = unreached_parameters(distillation.student, loss)
    require_encoder_gradient(names, distillation.student)
    freeze(distillation.student, names)
    return names
