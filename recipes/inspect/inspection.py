"""What is in a cache, how large and how faithful: `miniend inspect`, as one JSON object and as a table."""

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from ...cache import Cache, open_cache
from ...signals.codes.site_codec import SiteCodec
from ...signals.hidden_states import relative_error
from ...signals.logits.fidelity import logit_facts
from ...signals.relations.codec import AttentionCodec
from ...signals.relations.relations import carries_no_information
from ...storage.documents.seal import FORMAT_VERSION
from ...storage.folder import PublishedFolder, folder_exists
from ...storage.layout import extent_path
from ...storage.stores.place import Where
from .raw_sizes import one_or_by_place, raw_bytes_per_token

T = TypeVar("T")

_ORDER = ("query", "key", "value", "query_key")


def inspect_cache(path: Where) -> dict[str, Any]:
    """One JSON object about a cache, finished or not.

    Byte counts are those of the published files, documents included; `bytes_per_token` divides whole columns by the valid
    tokens of their axis, and `raw_bytes_per_token` is the same of Q, K, V, hidden states and full distributions in bfloat16.
    Fidelity is the mean KL in nats (of hidden states the relative squared error) over what the shards measured while the teacher
    was at hand; the target of relations is None where the step was given instead.
    """
    cache = open_cache(path, allow_unfinished=True)
    plan = cache.plan
    tokens = {axis: sum(shard.tokens[axis] for shard in cache.shards) for axis in ("input", "target")}
    return {
        "format_version": FORMAT_VERSION,
        "digest": cache.digest,
        "complete": cache.complete,
        "examples": len(cache.training),
        "validation_examples": len(cache.validation),
        "planned_examples": cache.extents[-1].examples if cache.extents else 0,
        "tokens": tokens,
        "bytes": _bytes(cache),
        "bytes_per_token": _bytes_per_token(cache, tokens),
        "raw_bytes_per_token": raw_bytes_per_token(cache),
        "fidelity": _fidelity(cache),
        "relations": {name: _relation(codec) for name, codec in relations_of(cache).items()},
        "hidden": {name: _described(codec) for name, codec in cache.codecs_of("hidden").items()},
        "teacher": _teacher(cache),
        "objective": plan.task.body(),
        "corpus": plan.corpus.body(),
        "logits": plan.signals.logits.body() if plan.signals.logits else None,
        "codec": plan.codec,
    }


def _column_bytes(cache: Cache, start: str, whole: bool = False) -> int:
    """Bytes of all columns that begin so, or of the one that has this `whole` name."""
    return sum(
        shard.folder.column_bytes(name)
        for shard in cache.shards
        for name in shard.folder.columns
        if (name == start if whole else name.startswith(start))
    )


def _bytes(cache: Cache) -> dict[str, Any]:
    segments = _segment_bytes(cache)
    extents = [PublishedFolder(extent_path(cache.path, number), "extent") for number in range(len(cache.extents))]
    folders = [cache.plan_folder, *extents, cache.calibration_folder, *(shard.folder for shard in cache.shards)]
    return {
        "total": segments + sum(folder.total_bytes for folder in folders),
        "inputs": _column_bytes(cache, "inputs.") + _column_bytes(cache, "targets."),
        "logits": _column_bytes(cache, "logits."),
        "bases": sum(cache.calibration_folder.column_bytes(name) for name in cache.calibration_folder.columns),
        "relations": {name: _column_bytes(cache, f"relations.{name}.") for name in relations_of(cache)},
        "hidden": {name: _column_bytes(cache, f"hidden.{name}", whole=True) for name in cache.codecs_of("hidden")},
        "segments": segments,
    }


def _segment_bytes(cache: Cache) -> int:
    folder = cache.path / "segments"
    names = [name for name in folder.names() if not name.startswith(".")]
    return sum(
        PublishedFolder(folder / name, "marker").total_bytes for name in names if folder_exists(folder / name, "marker")
    )


def _bytes_per_token(cache: Cache, tokens: dict[str, int]) -> dict[str, Any]:
    def of_site(codec: SiteCodec) -> Any:
        found = {
            place.name: _column_bytes(cache, column, whole=True) / max(1, tokens[place.axis])
            for column, place in codec.columns.items()
        }
        return one_or_by_place(found)

    logits = _column_bytes(cache, "logits.") / max(1, tokens["target"])
    return {
        "logits": logits if cache.logit_code else None,
        "relations": {name: of_site(codec) for name, codec in relations_of(cache).items()},
        "hidden": {name: of_site(codec) for name, codec in cache.codecs_of("hidden").items()},
    }


def _fidelity(cache: Cache) -> dict[str, Any]:
    found = cache.fidelity()
    measured = {site: in_order(found[site]) for site in relations_of(cache) if site in found}
    logits = {kind: part.mean for kind, part in found.get("logits", {}).items()}
    signals = cache.plan.signals
    return {
        "relation_kl": {site: {kind: part.mean for kind, part in kinds.items()} for site, kinds in measured.items()},
        "relation_kl_p99": {
            site: {kind: part.quantile(0.99) for kind, part in kinds.items()} for site, kinds in measured.items()
        },
        "relation_kl_target": signals.relation_kl if signals.relation_step is None else None,
        "hidden_error": {
            site: relative_error(found[site]) for site in cache.codecs_of("hidden") if "energy" in found.get(site, {})
        },
        "hidden_error_target": signals.hidden_error if cache.codecs_of("hidden") else None,
        "logits": logit_facts(logits) if logits else None,
    }


def in_order(kinds: Mapping[str, T]) -> dict[str, T]:
    """The same with the relation kinds in the order of Q, K, V; documents have them by the alphabet."""
    return dict(sorted(kinds.items(), key=lambda item: _ORDER.index(item[0]) if item[0] in _ORDER else len(_ORDER)))


def counted(count: int, thing: str) -> str:
    """`1 example`, `2,000 examples`."""
    return f"{count:,} {thing}" if count == 1 else f"{count:,} {thing}s"


def logit_name(described: dict[str, Any]) -> str:
    """Kind and size of the cached distributions, for people: `top-64`, `hybrid-20`."""
    kind = described["kind"]
    return f"top-{described['k']}" if kind == "top-k" else f"{kind}-{described['draws']}"


def relations_of(cache: Cache) -> dict[str, AttentionCodec]:
    """The codecs of a cache's attention sites, by full name."""
    return {name: codec for name, codec in cache.codecs.items() if isinstance(codec, AttentionCodec)}


def _relation(codec: AttentionCodec) -> dict[str, Any]:
    return {
        "relation_heads": codec.heads,
        "inner": codec.inner,
        **_described(codec),
        "alpha": in_order(codec.inverse_temperature),
        "relative_entropy": in_order(codec.relative_entropy),
        "carries_no_information": [
            kind for kind, value in in_order(codec.relative_entropy).items() if carries_no_information(value)
        ],
    }


def _described(codec: SiteCodec) -> dict[str, Any]:
    """By place."""
    return {
        "rank": {place: code.rank for place, code in codec.codes.items()},
        "axis": {place.name: place.axis for place in codec.places},
        "step": {place: code.step for place, code in codec.codes.items()},
    }


def _teacher(cache: Cache) -> dict[str, Any]:
    planned, calibrated = cache.plan.teacher, cache.calibration.teacher
    return {
        "name": planned.name,
        "tensor_digest": planned.tensor_digest,
        "dtype": planned.dtype,
        **planned.facts.body(),
        "cross_entropy": cache.teacher_cross_entropy("train"),
        "validation_cross_entropy": cache.teacher_cross_entropy("validation"),
        "unigram_entropy": calibrated.unigram_entropy,
    }


def describe(facts: dict[str, Any]) -> Iterator[str]:
    """The lines that `miniend inspect` prints."""
    teacher, tokens = facts["teacher"], facts["tokens"]
    state = "complete" if facts["complete"] else f"unfinished ({counted(facts['planned_examples'], 'example')} planned)"
    yield f"cache {facts['digest'][:16]}  format {facts['format_version']}  {state}"
    yield (
        f"{facts['examples']:,} training and {counted(facts['validation_examples'], 'validation example')}, "
        f"{tokens['input']:,} input and {counted(tokens['target'], 'target token')}"
    )
    loss = teacher["cross_entropy"]
    measured = "cross-entropy not measured yet" if loss is None else f"cross-entropy {loss:.3f} nats per target token"
    yield f"teacher {teacher['name']}: {measured}, unigram entropy {teacher['unigram_entropy']:.3f}"
    yield ""
    yield f"{'signal':<28} {'bytes':>14} {'per token':>10}  mean KL in nats (99th percentile of rows)"
    yield from _signal_lines(facts)
    sizes = facts["bytes"]
    for name in ("inputs", "bases", "segments", "total"):
        yield f"{name:<28} {sizes[name]:>14,}"
    for name, relation in facts["relations"].items():
        for kind in relation["carries_no_information"]:
            entropy = relation["relative_entropy"][kind]
            yield f"{name} {kind}: relative entropy {entropy:.3f}, carries no information"


def _signal_lines(facts: dict[str, Any]) -> Iterator[str]:
    per_token, fidelity = facts["bytes_per_token"], facts["fidelity"]
    for name, value in per_token["relations"].items():
        parts = value if isinstance(value, dict) else {"": value}
        shown = "+".join(f"{part:.1f}" for part in parts.values())
        highest = fidelity["relation_kl_p99"].get(name, {})
        means = fidelity["relation_kl"].get(name, {})
        kls = "  ".join(f"{kind} {kl:.1e} ({highest[kind]:.0e})" for kind, kl in means.items())
        yield f"{name:<28} {facts['bytes']['relations'][name]:>14,} {shown:>10}  {kls}"
    for name, value in per_token["hidden"].items():
        found, target = fidelity["hidden_error"].get(name), fidelity["hidden_error_target"]
        error = "" if found is None else f"  relative squared error {found:.1e} (target {target:.0e})"
        yield f"{name:<28} {facts['bytes']['hidden'][name]:>14,} {value:>10.1f}{error}"
    if per_token["logits"] is not None and fidelity["logits"]:
        found, size = fidelity["logits"], facts["bytes"]["logits"]
        name = f"logits ({logit_name(facts['logits'])})"
        yield (
            f"{name:<28} {size:>14,} {per_token['logits']:>10.1f}  {found['kl']:.1e}  "
            f"kept mass {found['kept_mass']:.3f}, {found['entries']:.1f} entries"
        )
        for kind in (kind for kind in found if kind.startswith("kl at ")):
            temperature = kind.removeprefix("kl at ")
            yield f"{'':<28} {'':>14} {'':>10}  {found[kind]:.1e} at temperature {temperature}"
        if found["gradient_angle"] is not None:
            yield (
                f"{'':<28} {'':>14} {'':>10}  gradient of single positions at the unigram student: "
                f"angle {found['gradient_angle']:.1f} degrees, norm ratio {found['gradient_norm_ratio']:.3f}"
            )
