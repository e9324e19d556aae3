"""What the cached signals would take uncompressed: Q, K, V, hidden states and full next-token distributions in bfloat16."""

from typing import Any

from ...cache import Cache

BFLOAT16 = 2
"""Bytes of a number."""


def raw_bytes_per_token(cache: Cache) -> dict[str, Any]:
    """In the form of the `bytes_per_token` of `inspect_cache`: `logits` (None without them), `relations` and `hidden` by site.

    3 x inner numbers per token of a self-attention, inner per target and 2 x inner per input token of cross-attention, d_model
    per token of hidden states, and one number per row of the head and target token.
    """
    facts = cache.plan.teacher.facts
    relations = {
        name: one_or_by_place({place.name: BFLOAT16 * len(place.blocks) * codec.width for place in codec.places})
        for name, codec in cache.codecs_of("relations").items()
    }
    return {
        "logits": BFLOAT16 * int(facts.vocab_rows) if cache.logit_code else None,
        "relations": relations,
        "hidden": dict.fromkeys(cache.codecs_of("hidden"), BFLOAT16 * int(facts.d_model)),
    }


def one_or_by_place(found: dict[str, Any]) -> Any:
    """The only value, or the values by place where a site has several."""
    return found if len(found) > 1 else next(iter(found.values()))


def described_sites(facts: dict[str, Any]) -> dict[str, Any]:
    """Of the facts of `inspect_cache`, what is told of every site, attention first."""
    return {**facts["relations"], **facts["hidden"]}


def sizes_by_place(facts: dict[str, Any], member: str, site: str) -> dict[str, float]:
    """Of the facts of `inspect_cache`, `bytes_per_token` or `raw_bytes_per_token` of a site by place, however many it has."""
    found = (facts[member]["relations"] | facts[member]["hidden"])[site]
    return found if isinstance(found, dict) else {next(iter(described_sites(facts)[site]["axis"])): found}


def raw_bytes(facts: dict[str, Any]) -> dict[str, int]:
    """What all cached tokens take uncompressed, by site and `logits`, from the facts of `inspect_cache`."""
    tokens, member = facts["tokens"], "raw_bytes_per_token"
    found = {
        site: sum(
            int(size) * tokens[described["axis"][place]] for place, size in sizes_by_place(facts, member, site).items()
        )
        for site, described in described_sites(facts).items()
    }
    if facts[member]["logits"] is not None:
        found["logits"] = facts[member]["logits"] * tokens["target"]
    return found
