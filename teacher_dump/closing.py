"""The lines that end a dump: path, size and fidelity of the cache, and the next command."""

from collections.abc import Iterator, Mapping
from shlex import quote

from ..cache import Cache
from ..errors import one_line
from ..runtime.printing import Result
from ..runtime.progress import size_text
from ..signals.fidelity import SpreadOf
from ..signals.hidden_states import RAW, relative_error
from ..signals.relations.codec import AttentionCodec
from ..signals.relations.measures import kls_by_heads, worst_relation
from ..storage.documents.plan import Plan
from ..storage.stores.place import Where

LARGE_TAIL = 0.1
"""The mean mass outside the top k above which the dump prints a hint."""
Fidelity = Mapping[str, Mapping[str, SpreadOf]]


def closing_lines(cache: Cache, path: Where) -> Iterator[str]:
    """Yield what a dump has made. `path` is the cache as the user has typed it."""
    fidelity = cache.fidelity()
    yield from _tail_lines(fidelity, cache.plan)
    training, validation = len(cache.training), len(cache.validation)
    tokens = sum(count for shard in cache.shards for count in shard.tokens.values())
    size = cache.size
    per_token = f", {size / tokens:.1f} bytes per token" if tokens else ""
    yield Result(
        f"cache {one_line(str(path))}: {training:,} training and {validation:,} validation examples, "
        f"{size_text(size)}{per_token}"
    )
    if lost := ", ".join(_losses(cache, fidelity)):
        yield Result(f"fidelity, at worst: {lost}")
    if cache.complete:
        objective = "" if cache.codecs or cache.logit_code else " --objective scratch"
        objective = objective if cache.family.predicts else " --objective encoder"
        yield f"next: miniend train-student --cache {quote(one_line(str(path)))} --output student{objective}"


def _losses(cache: Cache, fidelity: Fidelity) -> Iterator[str]:
    """Yield what is lost, by kind of signal: of relations and of hidden states the worst site."""
    signals = cache.plan.signals
    relations = {
        site: worst_relation(kls_by_heads(codec, fidelity[site]))
        for site, codec in cache.codecs_of("relations").items()
        if isinstance(codec, AttentionCodec) and fidelity.get(site)
    }
    if relations:
        site, worst = max(relations.items(), key=lambda item: item[1].kl)
        target = "" if signals.relation_step is not None else f", target {signals.relation_kl:.0e}"
        heads = f"{worst.heads} relation heads" if worst.heads > 1 else "1 relation head"
        yield f"relations {worst.kl:.1e} nats ({worst.kind} of {site} at {heads}{target})"
    hidden = {
        site: relative_error(fidelity[site])
        for site in cache.codecs_of("hidden")
        if {*RAW} <= {*fidelity.get(site, {})}
    }
    if hidden:
        site = max(hidden, key=hidden.__getitem__)
        yield f"hidden states {hidden[site]:.1e} of their energy ({site}, target {signals.hidden_error:.0e})"
    if "logits" in fidelity:
        yield f"logits {fidelity['logits']['kl'].mean:.1e} nats"


def _tail_lines(fidelity: Fidelity, plan: Plan) -> Iterator[str]:
    """Yield a hint if much of the teacher is in the tail of `top-k`, which is one outcome and does not teach a student more."""
    described = plan.signals.logits
    if not described or described.kind != "top-k":
        return
    mass = fidelity["logits"]["tail_mass"].mean
    if mass > LARGE_TAIL:
        yield (
            f"hint: {mass:.0%} of the teacher's probability is outside the top {described.k}, where a student learns only "
            "the total; --logits hybrid, in a new cache, teaches all of it"
        )
