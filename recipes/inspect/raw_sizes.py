"""The uncompressed size of the cached signals: Q, K, V, hidden states and full next-token distributions in bfloat16."""

from ...cache import Cache
from ...signals.codes.site_codec import SiteCodec
from .facts import BytesPerToken, CacheFacts

BFLOAT16 = 2
"""The bytes of a number."""


def raw_bytes_per_token(cache: Cache) -> BytesPerToken:
    """Return the bytes per token of the cached signals in bfloat16.

    A self-attention has 3 x inner numbers per token. Cross-attention has inner numbers per target token and 2 x inner per input
    token. Hidden states have d_model numbers per token. Logits have one number per row of the head and target token.
    """
    facts = cache.plan.teacher.facts

    def of_site(codec: SiteCodec) -> dict[str, float]:
        return {place.name: BFLOAT16 * len(place.blocks) * codec.width for place in codec.places}

    return BytesPerToken(
        logits=BFLOAT16 * facts.vocab_rows if cache.logit_code else None,
        relations={name: of_site(codec) for name, codec in cache.codecs_of("relations").items()},
        hidden={name: of_site(codec) for name, codec in cache.codecs_of("hidden").items()},
    )


def raw_bytes(facts: CacheFacts) -> dict[str, int]:
    """Return the uncompressed bytes of all cached tokens, by site and `logits`."""
    raw = facts.raw_bytes_per_token
    sizes = {
        site: sum(int(size) * facts.tokens[codes.axis[place]] for place, size in raw.of_site(site).items())
        for site, codes in facts.sites.items()
    }
    if raw.logits is not None:
        sizes["logits"] = int(raw.logits) * facts.label_tokens
    return sizes
