"""Putting a run together: student, objective, decoders, optimiser, and what the objective cannot reach."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ..cache import Cache
from ..devices import choose_device
from ..progress import Say
from ..signals.relations import check_relation_heads, default_relation_heads
from ..signals.site_codec import SiteCodec
from .config import DEFAULT_SIZE, TrainConfig
from .distillation import Batch, Distillation
from .gradient_checkpointing import checkpoint_blocks
from .loader import BatchSource, Columns, in_order
from .objective import Objective
from .optimisers import build_optimiser
from .size import describe_size, student_config
from .student import build_student, init_from_teacher, load_student
from .unreached import freeze, require_encoder_gradient, summarise_unreached, unreached_parameters


@dataclass(frozen=True, slots=True)
class Setup:
    """Everything that a run works with."""

    config: TrainConfig
    cache: Cache
    objective: Objective
    distillation: Distillation
    evaluation: Distillation
    optimiser: torch.optim.Optimizer
    device: torch.device
    unreached: list[str]
    training: BatchSource
    validation: BatchSource

    @property
    def student(self) -> Any:
        """The model in training."""
        return self.distillation.student


def set_up(
    config: TrainConfig,
    cache: Cache,
    objective: Objective,
    codecs: Mapping[str, SiteCodec],
    say: Say,
) -> Setup:
    """Build the student, probe and freeze what the objective cannot reach, and say what will be trained."""
    plan, device = cache.plan.document, choose_device(config.device)
    student = _make_student(config, cache).to(device)
    if config.gradient_checkpointing:
        checkpoint_blocks(student)
    heads = _relation_heads(config, codecs, student)
    shared = {"start_id": plan["teacher"]["start_id"], "pad_id": plan["teacher"]["pad_id"]}
    shared |= {"heads": heads, "logit_code": cache.logit_code and cache.logit_code.to(device)}
    on_device = {term: codec.to(device) for term, codec in codecs.items()}
    distillation = Distillation(student, objective, on_device, **shared)
    evaluation = Distillation(student, _with_labels(objective), on_device, **shared)
    training, validation = (
        BatchSource(split, _columns(objective, codecs, cache), shared["pad_id"])
        for split in (cache.training, cache.validation)
    )
    unreached = _freeze_unreached(distillation, next(in_order(training, min(4, config.batch_size))).to(device))
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
    return Setup(config, cache, objective, distillation, evaluation, optimiser, device, unreached, training, validation)


def _make_student(config: TrainConfig, cache: Cache) -> Any:
    teacher = cache.plan.document["teacher"]
    if config.init:
        return load_student(config.init, teacher["config"])
    rows = {"vocab_size": teacher["facts"]["vocab_rows"]}  # which a config.json may leave to its default
    sizes = student_config(config.size or DEFAULT_SIZE, teacher["config"] | rows)
    if config.init_from_teacher:
        return init_from_teacher(sizes, config.init_from_teacher)
    return build_student(sizes, teacher["facts"]["tied"], config.seed)


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


def _columns(objective: Objective, codecs: Mapping[str, SiteCodec], cache: Cache) -> Columns:
    used = {}
    for term, codec in codecs.items():
        for column, place in codec.columns().items():
            if any(block in place.blocks for r in objective.relations(term, codec.site) for block in (r.left, r.right)):
                used[column] = place.axis
    wanted = "logits" in objective.weights and cache.logit_code
    return Columns(
        tuple(used.items()), (wanted.kind, len(wanted.order), objective.temperature != 1) if wanted else None
    )


def _freeze_unreached(distillation: Distillation, batch: Batch) -> list[str]:
    def loss() -> Tensor:
        return distillation.total(distillation(batch), distillation.counts(batch))

    names = unreached_parameters(distillation.student, loss)
    require_encoder_gradient(names, distillation.student)
    freeze(distillation.student, names)
    return names
