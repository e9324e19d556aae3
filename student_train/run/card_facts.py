"""Gather the facts of a run for its model card."""

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from ...cache import Cache
from ...models.families import parameter_counts, stated_config
from ...models.generation import outgrows_the_cache
from ...models.projected_encoder import PROJECTIONS
from ...models.save import right_in_transformers_4
from ...models.size import describe_size
from ...models.tokenizer_files import saved_by_version_5
from ...signals.logits.fidelity import logit_facts
from ...signals.relations.codec import AttentionCodec
from ...signals.relations.relations import carries_no_information
from ...storage.documents.plan import CorpusPart, Plan
from ..distillation import Part
from ..terms import Term
from ..terms.final import Final
from ..terms.hidden import BESIDE
from ..terms.matched import Matched
from ..terms.relations import Relations
from .directory import stages_of
from .growth import describe_schedule
from .loss_lines import of_terms
from .model_card import ModelCardFacts
from .model_card import Term as CardTerm
from .setup import Setup
from .state import TrainingState
from .unreached import summarise_unreached

EXAMPLE = "The <extra_id_0> walks in the park, and the <extra_id_1> sings."
"""A text to fill in, for a student of span corruption."""
EXAMPLE_OF_PAIRS = "The cat walks in the park, and the bird sings."
SEQUENCE = "M K T A Y I A K Q R Q I S F V K"
"""A protein's beginning, for a student of sequences."""


def card_facts(setup: Setup, state: TrainingState) -> ModelCardFacts:
    """Return everything that the card states, from the run's current state and its cache."""
    cache = setup.feed.cache
    config, objective, plan = setup.config, setup.objective, cache.plan
    terms = dict(setup.distillation.each_term())
    relations = [term for term in terms.values() if isinstance(term, Relations)]
    parameters, without_embeddings = parameter_counts(setup.student)
    return ModelCardFacts(
        size=describe_size(stated_config(setup.student)),
        parameters=parameters,
        parameters_without_embeddings=without_embeddings,
        encoder=not setup.distillation.family.predicts,
        mapped=PROJECTIONS if any(isinstance(term, Final) and len(term.maps) for term in terms.values()) else None,
        example=_example(plan),
        padded_to=plan.task.input_length if plan.task.padded else None,
        right_in_transformers_4=right_in_transformers_4(setup.student),
        tokenizer_of_version_5=saved_by_version_5(cache.tokenizer_files()),
        generates_without_cache=setup.student.can_generate() and outgrows_the_cache(setup.student),
        teacher=plan.teacher.name,
        teacher_on_hub=plan.teacher.revision is not None,
        teacher_digest=plan.teacher.tensor_digest,
        cache_digest=cache.digest,
        corpus=corpus_line(plan),
        objective=objective.name + ("" if config.logits else " without logits"),
        terms=[
            CardTerm(name=name, formula=_described(term), weight=objective.weights[name])
            for name, term in terms.items()
        ],
        generates=any(term.trains_head for term in terms.values()),
        relation_heads=relations[0].heads if relations else None,
        relation_temperatures={str(term.codec.site): term.codec.inverse_temperature for term in relations},
        compared=_compared({name: term for name, term in terms.items() if isinstance(term, Matched)}, state.validation),
        fidelity=_relation_fidelity(cache, setup.feed.fidelity),
        logit_fidelity=_logit_fidelity(cache, setup.feed.fidelity),
        steps=state.step,
        batch_size=config.batch_size,
        tokens_seen=state.tokens,
        optimizer=config.optimizer,
        learning_rate=config.peak_learning_rate,
        schedule=describe_schedule(config, stages_of(config.output)),
        initial_loss=state.initial_loss,
        final_loss=state.loss,
        validation=of_terms(state.validation),
        unreached=summarise_unreached(setup.unreached, setup.distillation.family),
        software={package: version(package) for package in ("miniend", "torch", "transformers")},
    )


def _example(plan: Plan) -> str:
    """Return a text as the student reads it."""
    if plan.task.residues:
        return (plan.task.prefix or "") + SEQUENCE
    return EXAMPLE if plan.tokenizer.sentinel_ids else EXAMPLE_OF_PAIRS


def corpus_line(plan: Plan) -> str:
    """Return one phrase for the corpus and the task of the data."""
    parts, task = plan.corpus.parts, plan.task
    names = [_part_name(part) + (f" (weight {part.weight:g})" if len(parts) > 1 else "") for part in parts]
    shortest = task.corruption.shortest_input_length if task.corruption else None
    drawn = f"{shortest} to " if shortest else ""
    lengths = f"{drawn}{task.input_length} input"
    if task.target_length:
        lengths += f" and {'at most ' if drawn else ''}{task.target_length} target"
    lengths += " tokens"
    return f"{' + '.join(names)} ({task.kind}, {lengths})"


def _part_name(part: CorpusPart) -> str:
    """Return a hub name, the first file and how many more, or the kind."""
    if part.hub:
        return part.hub.name
    files = [file.name for file in part.files or ()]
    more = f" and {len(files) - 1} more files" if len(files) > 1 else ""
    if part.file_list:
        return f"{part.file_list.count:,} files"
    return files[0] + more if files else part.kind


def _relation_fidelity(cache: Cache, measured: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Return the measurements of every cached relation by site and kind, whether this run uses it or not."""
    rows = {}
    codecs = {site: codec for site, codec in cache.codecs.items() if isinstance(codec, AttentionCodec)}
    for site, codec in codecs.items():
        spreads = measured.get(site, {})
        for kind in sorted(set(codec.relative_entropy) & set(spreads)):
            entropy, spread = codec.relative_entropy[kind], spreads[kind]
            empty = " (carries no information)" if carries_no_information(entropy) else ""
            rows[f"{site} {kind}"] = {
                "mean": f"{spread.mean:.1e}",
                "99th percentile": f"{spread.quantile(0.99):.1e}",
                "teacher's relative entropy": f"{entropy:.3f}{empty}",
            }
    return rows


def _compared(terms: Mapping[str, Matched], means: Mapping[str, float]) -> dict[str, dict[str, str]]:
    """Return by full name of the part which tensors it compares, its validation means, and the cache's own error."""
    rows = {}
    for name, term in terms.items():
        for match in term.matches:
            part = Part(name, match.part).name
            row = {"student": str(match.pair.student), "teacher": str(match.pair.teacher)}
            for column, mean in (
                ("validation", means.get(part)),
                (BESIDE.strip("_").replace("_", " "), means.get(Part(name + BESIDE, match.part).name)),
            ):
                row |= {} if mean is None else {column: f"{mean:.4f}"}
            row |= {} if match.cache_error is None else {"relative error of the cache": f"{match.cache_error:.1e}"}
            rows[part] = row
    return rows


def _logit_fidelity(cache: Cache, fidelity: Mapping[str, Any]) -> str:
    measured = fidelity.get("logits")
    if not measured:
        return ""
    facts = logit_facts({kind: part.mean for kind, part in measured.items()})
    described = cache.plan.signals.logits
    assert described is not None
    lists = "all ids, from the last states"
    if facts["entries"] is not None:
        lists = f"{facts['entries']:.1f} entries per position, {facts['kept_mass']:.3f} of the probability kept exactly"
    text = f"Next-token distributions: `{described.kind}`, {lists}, {facts['kl']:.1e} nats lost by rounding"
    if facts["gradient_angle"] is None:
        return f"{text}."
    return (
        f"{text}; gradient of single positions at the logits of a unigram student: {facts['gradient_angle']:.1f} degrees from "
        f"the full one, norm ratio {facts['gradient_norm_ratio']:.3f} (the errors of draws average out over a batch)."
    )


def _described(term: Term) -> str:
    """Return how a term is computed, which of the teacher's sites it compares with, and how many parameters of its own it has."""
    own = sum(parameter.numel() for parameter in term.parameters())
    return (
        term.formula()
        + (f"; teacher's {term.against()}" if term.against() else "")
        + (f"; {own:,} parameters of its own, in {PROJECTIONS}" if own else "")
    )
