"""`miniend inspect`: show what is in a cache, how large it is and how faithful, as one JSON object or as a table."""

from collections.abc import Iterator, Mapping
from typing import TypeVar

from ...cache import Cache, open_cache
from ...runtime.progress import waiting
from ...signals.codes.site_codec import SiteCodec
from ...signals.fidelity import MeanOf
from ...signals.hidden_states import CONTINUED, NORMALIZED, RAW, mean_cosine, relative_error
from ...signals.kinds.final import FinalStates
from ...signals.logits.fidelity import logit_facts
from ...signals.relations.codec import AttentionCodec
from ...signals.relations.measures import kls_by_heads, tensor_errors, worst_relation
from ...signals.relations.relations import carries_no_information
from ...signals.sites import site_from
from ...storage.documents.marker import SegmentsMarker
from ...storage.documents.plan import PlannedLogits
from ...storage.documents.seal import FORMAT_VERSION
from ...storage.stores.place import Where
from ...teacher_dump.examples.counts import count_lines, total_counts
from .facts import (
    BytesPerToken,
    CacheBytes,
    CachedTeacher,
    CacheFacts,
    CacheFidelity,
    LogitFidelity,
    RelationFacts,
    SiteFacts,
)
from .raw_sizes import raw_bytes_per_token

T = TypeVar("T")

_ORDER = ("query", "key", "value", "query_key")


def inspect_cache(path: Where) -> CacheFacts:
    """Return the facts about a cache, finished or not, from its documents only."""
    cache = open_cache(path, allow_unfinished=True)
    with waiting("reading the documents of the cache"):
        return _facts(cache)


def _facts(cache: Cache) -> CacheFacts:
    plan = cache.plan
    tokens = {axis: sum(shard.tokens[axis] for shard in cache.shards) for axis in cache.family.axes}
    return CacheFacts(
        format_version=FORMAT_VERSION,
        digest=cache.digest,
        complete=cache.complete,
        examples=len(cache.training),
        validation_examples=len(cache.validation),
        planned_examples=cache.extents[-1].examples if cache.extents else 0,
        tokens=tokens,
        bytes=_bytes(cache),
        bytes_per_token=_bytes_per_token(cache, tokens),
        raw_bytes_per_token=raw_bytes_per_token(cache),
        fidelity=_fidelity(cache),
        relations={name: _relation(codec) for name, codec in relations_of(cache).items()},
        hidden={name: _codes(codec) for name, codec in cache.codecs_of("hidden").items()},
        teacher=_teacher(cache),
        task=plan.task,
        corpus=plan.corpus,
        packing=total_counts([marker.counts for marker in _segment_markers(cache) if marker.counts]),
        logits=plan.signals.logits,
        codec=plan.codec,
    )


def _column_bytes(cache: Cache, start: str, whole: bool = False) -> int:
    """Return the bytes of all columns whose names start with `start`; with `whole`, of the column of that name."""
    return sum(
        shard.folder.column_bytes(name)
        for shard in cache.shards
        for name in shard.folder.columns
        if (name == start if whole else name.startswith(start))
    )


def _bytes(cache: Cache) -> CacheBytes:
    segments = sum(folder.total_bytes for folder in cache.segment_folders())
    bases = cache.calibration_folder
    return CacheBytes(
        total=cache.size,
        inputs=_column_bytes(cache, "inputs.") + _column_bytes(cache, "targets."),
        logits=_column_bytes(cache, "logits."),
        bases=sum(bases.column_bytes(name) for name in bases.columns),
        relations={name: _column_bytes(cache, f"relations.{name}.") for name in relations_of(cache)},
        hidden={name: _column_bytes(cache, f"hidden.{name}", whole=True) for name in cache.codecs_of("hidden")},
        segments=segments,
    )


def _segment_markers(cache: Cache) -> list[SegmentsMarker]:
    return [folder.parsed(SegmentsMarker) for folder in cache.segment_folders()]


def _bytes_per_token(cache: Cache, tokens: Mapping[str, int]) -> BytesPerToken:
    def of_site(codec: SiteCodec) -> dict[str, float]:
        return {
            place.name: _column_bytes(cache, column, whole=True) / max(1, tokens[place.axis])
            for column, place in codec.columns.items()
        }

    logits = _column_bytes(cache, "logits.") / max(1, tokens[cache.family.label_axis])
    return BytesPerToken(
        logits=logits if cache.logit_code else None,
        relations={name: of_site(codec) for name, codec in relations_of(cache).items()},
        hidden={name: of_site(codec) for name, codec in cache.codecs_of("hidden").items()},
    )


def _fidelity(cache: Cache) -> CacheFidelity:
    measures, signals, told = cache.fidelity(), cache.plan.signals, cache.calibration.fidelity
    measured = {site: codec for site, codec in relations_of(cache).items() if measures.get(site)}
    by_heads = {site: kls_by_heads(codec, measures[site]) for site, codec in measured.items()}
    return CacheFidelity(
        relation_kl={
            site: {kind: kls[measured[site].heads] for kind, kls in kinds.items()} for site, kinds in by_heads.items()
        },
        relation_kl_p99={
            site: {kind: measures[site][kind].quantile(0.99) for kind in kinds} for site, kinds in by_heads.items()
        },
        relation_kl_by_heads=by_heads,
        relation_kl_worst={site: worst_relation(kls) for site, kls in by_heads.items()},
        relation_kl_target=signals.relation_kl if signals.relation_step is None else None,
        tensor_error={site: tensor_errors(measures[site]) for site in measured},
        hidden_error=_hidden_errors(cache, measures, RAW),
        normalized_hidden_error=_hidden_errors(cache, measures, NORMALIZED),
        hidden_cosine={
            site: mean_cosine(measures[site], codec.width)
            for site, codec in cache.codecs_of("hidden").items()
            if NORMALIZED[0] in measures.get(site, {})
        },
        hidden_error_target=signals.hidden_error if cache.codecs_of("hidden") else None,
        continued_kl={
            site: MeanOf(told[site][CONTINUED].total, told[site][CONTINUED].count).mean
            for site in cache.codecs
            if CONTINUED in told.get(site, {})
        },
        logits=_logit_fidelity({kind: part.mean for kind, part in measures.get("logits", {}).items()}),
    )


def _hidden_errors(
    cache: Cache, measures: Mapping[str, Mapping[str, MeanOf]], names: tuple[str, str]
) -> dict[str, float]:
    """Return the relative squared errors by site, of states or of normalized states; of another kind's sites none."""
    return {
        site: relative_error(measures[site], names)
        for site in cache.codecs_of("hidden")
        if set(names) <= set(measures.get(site, {}))
    }


def _logit_fidelity(means: Mapping[str, float]) -> LogitFidelity | None:
    if not means:
        return None
    measures = logit_facts(means)
    return LogitFidelity(
        kl=means["kl"],
        tempered={name: mean for name, mean in means.items() if name.startswith("kl at ")},
        kept_mass=measures["kept_mass"] or 0.0,
        entries=measures["entries"],
        gradient_angle=measures["gradient_angle"],
        gradient_norm_ratio=measures["gradient_norm_ratio"],
    )


def in_order(kinds: Mapping[str, T]) -> dict[str, T]:
    """Return the mapping with the relation kinds in the order of Q, K, V; documents sort them by the alphabet."""
    return dict(sorted(kinds.items(), key=lambda item: _ORDER.index(item[0]) if item[0] in _ORDER else len(_ORDER)))


def counted(count: int, thing: str) -> str:
    """Return a number with its noun: `1 example`, `2,000 examples`."""
    return f"{count:,} {thing}" if count == 1 else f"{count:,} {thing}s"


def logit_name(described: PlannedLogits) -> str:
    """Return kind and size of the cached distributions, such as `top-64`, `hybrid-20` or `from-hidden`."""
    if described.from_states:
        return described.kind
    return f"top-{described.k}" if described.kind == "top-k" else f"{described.kind}-{described.draws}"


def relations_of(cache: Cache) -> dict[str, AttentionCodec]:
    """Return the codecs of a cache's attention sites, by full name."""
    return {name: codec for name, codec in cache.codecs.items() if isinstance(codec, AttentionCodec)}


def _relation(codec: AttentionCodec) -> RelationFacts:
    codes, entropies = _codes(codec), in_order(codec.relative_entropy)
    return RelationFacts(
        rank=codes.rank,
        axis=codes.axis,
        step=codes.step,
        relation_heads=codec.heads,
        inner=codec.inner,
        inverse_temperature=in_order(codec.inverse_temperature),
        relative_entropy=entropies,
        carries_no_information=tuple(kind for kind, value in entropies.items() if carries_no_information(value)),
    )


def _codes(codec: SiteCodec) -> SiteFacts:
    return SiteFacts(
        rank={place: code.rank for place, code in codec.codes.items()},
        axis={place.name: place.axis for place in codec.places},
        step={place: code.step for place, code in codec.codes.items()},
        predicted_from=str(codec.predicted_from) if codec.predicted_from else None,
    )


def _teacher(cache: Cache) -> CachedTeacher:
    planned, measured = cache.plan.teacher, cache.calibration.teacher
    return CachedTeacher(
        name=planned.name,
        tensor_digest=planned.tensor_digest,
        dtype=planned.dtype,
        facts=planned.facts,
        cross_entropy=cache.teacher_cross_entropy("train"),
        validation_cross_entropy=cache.teacher_cross_entropy("validation"),
        unigram_entropy=measured.unigram_entropy if measured else None,
    )


def describe(facts: CacheFacts) -> Iterator[str]:
    """Return the lines that `miniend inspect` prints."""
    teacher, tokens = facts.teacher, facts.tokens
    state = "complete" if facts.complete else f"unfinished ({counted(facts.planned_examples, 'example')} planned)"
    yield f"cache {facts.digest[:16]}  format {facts.format_version}  {state}"
    yield (
        f"{facts.examples:,} training and {counted(facts.validation_examples, 'validation example')}, "
        f"{' and '.join(f'{count:,} {axis}' for axis, count in tokens.items())} tokens"
    )
    yield f"teacher {teacher.name}: {teacher.quality}"
    yield from count_lines(facts.packing, facts.task.pairs)
    yield ""
    yield f"{'signal':<28} {'bytes':>14} {'per token':>10}  mean KL in nats (99th percentile of rows)"
    yield from _signal_lines(facts)
    sizes = facts.bytes
    for name, size in (("inputs", sizes.inputs), ("bases", sizes.bases), ("segments", sizes.segments)):
        yield f"{name:<28} {size:>14,}"
    yield f"{'total':<28} {sizes.total:>14,}"
    for name, relation in facts.relations.items():
        for kind in relation.carries_no_information:
            yield f"{name} {kind}: relative entropy {relation.relative_entropy[kind]:.3f}, carries no information"


def _signal_lines(facts: CacheFacts) -> Iterator[str]:
    per_token, fidelity = facts.bytes_per_token, facts.fidelity
    for name, places in per_token.relations.items():
        shown = "+".join(f"{part:.1f}" for part in places.values())
        highest = fidelity.relation_kl_p99.get(name, {})
        means = fidelity.relation_kl.get(name, {})
        kls = [f"{kind} {kl:.1e} ({highest[kind]:.0e})" for kind, kl in means.items()]
        yield f"{name:<28} {facts.bytes.relations[name]:>14,} {shown:>10}  {'  '.join(kls[:2])}".rstrip()
        if len(kls) > 2:  # so that a line has at most 100 columns
            yield f"{'':<28} {'':>14} {'':>10}  {'  '.join(kls[2:])}"
        if name in fidelity.relation_kl_worst:
            yield from _loss_lines(fidelity, name)
    for name, places in per_token.hidden.items():
        error = ""
        if name in fidelity.hidden_error:
            target, over_rms = fidelity.hidden_error_target, fidelity.normalized_hidden_error[name]
            error = f"  squared error {fidelity.hidden_error[name]:.1e} (target {target:.0e}), over rms {over_rms:.1e}"
            error += f", cosine {fidelity.hidden_cosine[name]:.4f}" if site_from(name).kind == FinalStates.name else ""
        yield f"{name:<28} {facts.bytes.hidden[name]:>14,} {sum(places.values()):>10.1f}{error}"
    for name, kl in fidelity.continued_kl.items():
        yield f"{'':<4}the teacher, going on from decoded {name}: KL {kl:.1e} nats"
    if facts.logits and fidelity.logits:
        yield from _logit_lines(facts, facts.logits, fidelity.logits)


def _loss_lines(fidelity: CacheFidelity, site: str) -> Iterator[str]:
    """Yield the worst relation of a site with its number of heads, and the errors of Q, K and V."""
    worst, target = fidelity.relation_kl_worst[site], fidelity.relation_kl_target
    aimed = "" if target is None else f" (target {target:.0e})"
    yield f"{'':<4}worst relation: {worst.kind} {worst.kl:.1e} at {counted(worst.heads, 'relation head')}{aimed}"
    errors = ", ".join(f"{name} {error:.1e}" for name, error in fidelity.tensor_error[site].items())
    yield f"{'':<4}relative squared errors: {errors}"


def _logit_lines(facts: CacheFacts, described: PlannedLogits, fidelity: LogitFidelity) -> Iterator[str]:
    lists = "all ids, from the states and bases above"
    if fidelity.entries is not None:
        lists = f"kept mass {fidelity.kept_mass:.3f}, {fidelity.entries:.1f} entries"
    yield (
        f"{f'logits ({logit_name(described)})':<28} {facts.bytes.logits:>14,} {facts.bytes_per_token.logits or 0:>10.1f}  "
        f"{fidelity.kl:.1e}  {lists}"
    )
    for kind, kl in fidelity.tempered.items():
        yield f"{'':<28} {'':>14} {'':>10}  {kl:.1e} at temperature {kind.removeprefix('kl at ')}"
    if fidelity.gradient_angle is not None:
        yield (
            f"{'':<4}gradient of single positions at the unigram student: "
            f"angle {fidelity.gradient_angle:.1f} degrees, norm ratio {fidelity.gradient_norm_ratio:.3f}"
        )
