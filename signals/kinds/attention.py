"""Attention: Q, K and V of self-attention and of cross-attention, coded for the KL of their relations.

Q, K and V of a self-attention share one code, since they are linear images of one input. In cross-attention they are on two
token axes, so Q has a code of its own, and K and V share another.
"""

from collections.abc import Iterable, Mapping, Sequence

from torch import Tensor, nn

from ...models.families import Facts, Stack, family_of, stack_named
from ..codes.code import CodePlace
from ..fidelity import MeanOf, SiteSample
from ..relations.calibration import calibrate_site
from ..relations.codec import AttentionCodec, AttentionEntry, attention_codec_from
from ..relations.measures import measure_names, measured
from ..relations.relations import axes_of, default_relation_heads, relations_of
from ..sites import Site
from .kind import KINDS, Asked, SignalKind, SiteSamples, axis_of


class Attention(SignalKind):
    """The parts that self-attention and cross-attention have in common."""

    member = "relations"
    tensors = ("query", "key", "value")
    measure = "mean KL in nats"
    entry = AttentionEntry
    cross = False

    def modules(self, model: nn.Module, site: Site) -> dict[str, nn.Module]:
        return family_of(model).attention(model, site.stack, site.layer, self.cross)

    def width(self, facts: Facts) -> int:
        return facts.heads * facts.d_kv

    def fit(self, site: Site, samples: SiteSamples, asked: Asked) -> AttentionCodec:
        return calibrate_site(
            site,
            self.places(site),
            samples.basis,
            samples.step,
            heads=default_relation_heads(samples.basis[0].tensors["query"].shape[-1]),
            temperature=asked.relation_temperature,
            target_kl=asked.relation_kl,
            step=asked.relation_step,
            rank=asked.relation_rank,
        )

    def measured(self, codec: AttentionCodec, samples: Sequence[SiteSample]) -> dict[str, MeanOf]:
        return measured(codec, samples)

    def measured_on_shards(self, codec: AttentionCodec, sample: SiteSample) -> dict[str, MeanOf]:
        return measured(codec, [sample], spread=True)

    def measures(self, site: Site, facts: Facts) -> set[str]:
        return measure_names(self._kinds(site), self.width(facts))

    def _kinds(self, site: Site) -> list[str]:
        """Return the kinds of relations of a site."""
        return [relation.kind for relation in relations_of(axes_of(self.places(site)))]

    def read(
        self, site: Site, steps: Mapping[str, float], members: AttentionEntry, arrays: Mapping[str, Tensor]
    ) -> AttentionCodec:
        return attention_codec_from(site, self.places(site), steps, members, arrays)

    def misfits(self, site: Site, members: AttentionEntry, facts: Facts) -> Iterable[str]:
        inner, heads = members.inner, members.heads
        if inner != self.width(facts) or heads != default_relation_heads(inner):
            yield f"its site {site} has {inner} columns in {heads} heads"
        kinds = self._kinds(site)
        if any(
            set(told) != set(kinds) for told in (members.alpha, members.relative_entropy, members.published_entropy)
        ):
            yield f"its site {site} should tell of {', '.join(sorted(kinds))}"


class SelfAttention(Attention):
    """Q, K and V of a block's self-attention."""

    name = "self"

    def exists(self, stack: Stack) -> bool:
        return True

    def places(self, site: Site) -> tuple[CodePlace, ...]:
        column = f"{self.member}.{site}.query_key_value"
        return (CodePlace("query_key_value", self.tensors, axis_of(site), column),)


class CrossAttention(Attention):
    """Q of a block's cross-attention, and its K and V of the stack that it reads."""

    name = "cross"
    cross = True

    def exists(self, stack: Stack) -> bool:
        return stack.reads is not None

    def places(self, site: Site) -> tuple[CodePlace, ...]:
        reads = stack_named(site.stack).reads
        assert reads is not None
        return (
            CodePlace("query", ("query",), axis_of(site), f"{self.member}.{site}.query"),
            CodePlace("key_value", ("key", "value"), stack_named(reads).axis, f"{self.member}.{site}.key_value"),
        )


KINDS.add(SelfAttention.name, SelfAttention())
KINDS.add(CrossAttention.name, CrossAttention())
