"""Put a run together: the feed from the cache, student, terms, optimizer, and the parameters that the objective cannot reach."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from ...cache import Cache
from ...errors import CacheMismatchError
from ...models.families import SpecialIds, stated_config
from ...models.gradient_checkpointing import checkpoint_blocks
from ...models.optimizers import build_optimizer
from ...models.projected_encoder import PROJECTIONS
from ...models.pruning.widths import Widths
from ...models.size import describe_size, proposed_size
from ...models.start import start_student
from ...runtime.progress import Log
from ...signals.filters.filter import FILTERED
from ...signals.matching.target_statistics import Target, TargetStatistics
from ..config import TrainConfig
from ..distillation import Distillation
from ..objective import OF_STACKS, Objective, TermSpec
from ..reading.batch import Batch
from ..reading.first_examples import statistics_of
from ..reading.loader import BatchSource, in_order
from ..reading.teacher_signals import Needs, TeacherDecoder, build_decoder, needed_columns
from ..sandwich import Sandwich, measured_for, require_fit, widths_by_name
from ..terms import TERMS, Term, TermContext, Terms
from ..terms.contract import TermOptions, require_gradients, require_term
from ..terms.teacher_layer import unread_choices
from .unreached import freeze, require_gradient_of_what_is_read, summarise_unreached, unreached_parameters
from .verdict import larger_than_its_teacher, parameters_of_the_teacher

LABELS = "labels"
"""The term that every evaluation measures if the student's head is trained."""


@dataclass(frozen=True)
class Feed:
    """The parts of a cache that are read and decoded once for all students in training."""

    cache: Cache
    training: BatchSource
    validation: BatchSource
    decoder: TeacherDecoder
    device: torch.device
    targets: frozenset[Target]
    """The teacher's tensors whose statistics some terms start from."""

    @cached_property
    def statistics(self) -> Mapping[Target, TargetStatistics]:
        """The statistics of all targets, measured once for all students."""
        return statistics_of(self.cache, self.training, self.targets, self.device)

    @cached_property
    def fidelity(self) -> Mapping[str, Any]:
        """The result of `Cache.fidelity()`, called only once because it reads every marker."""
        return self.cache.fidelity()


def open_feed(cache: Cache, terms: Sequence[Terms], device: torch.device) -> Feed:
    """Return the feed with everything that the terms of some objectives need."""
    needs = Needs.of_all(needs_of(term) for own in terms for term in own.values())
    columns, pad_id = needed_columns(cache, needs), cache.special_ids.pad
    training, validation = (BatchSource(split, columns, pad_id) for split in (cache.training, cache.validation))
    targets = frozenset(target for own in terms for term in own.values() for target in term.targets)
    return Feed(cache, training, validation, build_decoder(cache, needs, device), device, targets)


def needs_of(term: Term) -> Needs:
    """Return the parts of a cache that a term reads."""
    temperatures = [] if term.distributions is None else [term.distributions]
    filtered = frozenset(target.site for target in term.targets if target.tensor == FILTERED)
    return Needs(frozenset(str(pair.teacher) for pair in term.pairs), frozenset(temperatures), filtered)


@dataclass(frozen=True, slots=True)
class Learner:
    """A student with the terms of its objective, before its examples are read from the cache."""

    config: TrainConfig
    objective: Objective
    student: Any
    terms: Terms
    unread: Sequence[str]
    """The sites that `--teacher-layer` names and that no term reads."""
    candidates: Mapping[str, Widths] = field(default_factory=dict)
    """The widths of the candidates that the student's weights make, by name; empty for a student, which makes one."""
    measured: Terms = field(default_factory=dict)
    """What only validation measures, because the scores of candidates need it."""

    @property
    def read(self) -> Terms:
        """All terms that read the cache."""
        return {**self.terms, **self.measured}

    def distillation(self, terms: Terms, weights: Mapping[str, float], special: SpecialIds) -> Distillation:
        """Return the module that computes some terms: of one student, or of the candidates that its weights make."""
        if not self.candidates:
            return Distillation(self.student, terms, weights, special)
        sampled = (self.config.sampled, self.config.seed)
        return Sandwich(self.student, terms, weights, special, self.candidates, sampled)


@dataclass(frozen=True, slots=True)
class Setup:
    """One student with all that its training needs."""

    config: TrainConfig
    feed: Feed
    objective: Objective
    distillation: Distillation
    evaluation: Distillation
    """The same student and the same terms, what they measure beside the loss, and hard labels if the head is trained."""
    optimizer: torch.optim.Optimizer
    unreached: list[str]
    """The names of the frozen parameters, which the objective does not reach."""

    @property
    def student(self) -> Any:
        """The model in training."""
        return self.distillation.student


def build_learner(config: TrainConfig, objective: Objective, cache: Cache, device: torch.device) -> Learner:
    """Start the student, and build the terms of its objective.

    Raises CacheMismatchError if the cache lacks signals that a term needs, ConfigurationError for a start that does not fit.
    """
    _require_what_an_encoder_has(objective, cache)
    student = start(config, cache).to(device)
    if config.gradient_checkpointing:
        checkpoint_blocks(student)
    candidates = widths_by_name(config.candidates, cache, student.config)
    context = TermContext(config, objective.name, cache, student, cache.family, candidates)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(config.seed)  # so that a term's own parameters depend on the seed too
        terms = {one.name: _built(one, context).to(device) for one in objective.terms}
    if candidates:
        require_fit(context, objective, terms)
    measured = measured_for(config.score_of_candidates, context)
    added = {name: term.to(device) for name, term in measured.items() if name not in terms}
    return Learner(config, objective, student, terms, unread_choices(context, terms.values()), candidates, added)


def _require_what_an_encoder_has(objective: Objective, cache: Cache) -> None:
    """Raise CacheMismatchError for an objective with a head or a decoder, if the cache is of an encoder without them."""
    if cache.family.predicts:
        return
    held = tuple(f"{stack.name}." for stack in cache.family.stacks)
    heads = [one for one in objective.terms if TERMS[one.kind].trains_head]
    others = [one for one in objective.terms if not str(one.options.get("site", held[0])).startswith(held)]
    if not heads and not others:
        return
    does = "learns to predict tokens" if heads else f"compares {others[0].options['site']}"
    advice = "--objective encoder"
    if not heads and len(others) < len(objective.terms) and all(one.kind in OF_STACKS for one in others):
        advice += ", or --stacks encoder with this one"
    raise CacheMismatchError(
        f"objective {objective.name} {does}, but {cache.path} is of an encoder without decoder; use {advice}"
    )


def _built(spec: TermSpec, context: TermContext) -> Term:
    """Return a term of the objective, checked."""
    return require_term(spec.name, TERMS[spec.kind].build(context, TermOptions(spec)), context)


def start(config: TrainConfig, cache: Cache) -> Any:
    """Return the student with its first weights, on the CPU."""
    return start_student(config.init, {**start_request(cache, config.size, config.seed), "keep": config.keep})


def start_request(cache: Cache, size: str | None, seed: int) -> dict[str, Any]:
    """Return the members of a StartRequest, without `source`, for the cache's teacher."""
    teacher = cache.plan.teacher
    facts = teacher.facts
    return {
        "size": size,
        "proposed_size": proposed_size(
            facts.encoder_layers, facts.decoder_layers or facts.encoder_layers, facts.d_model
        ),
        "teacher_width": facts.d_model,
        "seed": seed,
        "tied": facts.tied,
        # a config.json may leave vocab_size to its default
        "teacher_config": {**teacher.config, "vocab_size": facts.vocab_rows},
    }


def set_up(learner: Learner, feed: Feed, log: Log, measured: bool = True) -> Setup:
    """Start the terms, find and freeze the parameters that the objective cannot reach, and say what will be trained.

    Without `measured`, the terms do not start from the cache, as for a finished run, whose losses nobody computes.
    """
    config, objective, special = learner.config, learner.objective, feed.cache.special_ids
    statistics = feed.statistics if measured else {}
    if measured:
        for term in learner.terms.values():
            term.start(statistics)
    distillation = learner.distillation(learner.terms, objective.weights, special)
    evaluation = _for_evaluation(learner, distillation, statistics)
    probe = next(in_order(feed.training, min(4, config.batch_size))).to(feed.device)
    unreached = _freeze_unreached(distillation, probe, feed.decoder)
    optimizer = build_optimizer(
        config.optimizer, distillation.trained(), config.peak_learning_rate, config.weight_decay
    )
    parameters = sum(parameter.numel() for parameter in learner.student.parameters())
    log(f"student: {describe_size(stated_config(learner.student))}; {parameters:,} parameters")
    if larger := larger_than_its_teacher(parameters, parameters_of_the_teacher(feed.cache.plan)):
        log(f"  warning: the student is {larger}; a smaller --size is cheaper and may learn as much")
    for name, term in distillation.each_term():
        against = f" against the teacher's {term.against()}" if term.against() else ""
        log(f"  {objective.weights[name]:g} x {name}{against}: {term.formula()}")
        if own := sum(parameter.numel() for parameter in term.parameters()):
            log(f"    with {own:,} parameters of its own, which {PROJECTIONS} gets")
        for warning in term.warnings:
            log(f"    warning: {warning}")
    for name in learner.unread:
        log(f"  warning: --teacher-layer names a layer of {name}, which no term of this objective reads")
    for line in summarise_unreached(unreached, distillation.family):
        log(f"  frozen, because the objective does not reach it: {line}")
    return Setup(config, feed, objective, distillation, evaluation, optimizer, unreached)


def _for_evaluation(
    learner: Learner, distillation: Distillation, statistics: Mapping[Target, TargetStatistics]
) -> Distillation:
    """Return the module for evaluation, which adds what the terms measure beside the loss, and hard labels of a trained head."""
    terms = dict(learner.terms)
    added: dict[str, Term] = dict(learner.measured)
    for name, term in terms.items() if statistics else ():
        added |= {f"{name}{end}": one for end, one in term.beside(statistics).items()}
    if any(term.trains_head for term in terms.values()) and LABELS not in terms:
        added[LABELS] = TERMS[LABELS]()
    if not added:
        return distillation
    weights = {**learner.objective.weights, **dict.fromkeys(added, 1.0)}
    return learner.distillation({**terms, **added}, weights, distillation.special)


def _freeze_unreached(distillation: Distillation, batch: Batch, decoder: TeacherDecoder) -> list[str]:
    signals = decoder.decode(batch)

    def loss() -> Tensor:
        sums = distillation(batch, signals)
        require_gradients(sums, [part.name for part in distillation.parts])
        return distillation.total(sums, distillation.counts(batch))

    names = unreached_parameters(distillation, loss)
    require_gradient_of_what_is_read(names, distillation.student, distillation.family)
    freeze(distillation, names)
    return names
