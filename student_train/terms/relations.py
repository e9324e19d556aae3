"""Attention relations: the mean KL of one attention module's relations (MiniLMv2, arXiv 2012.15828)."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Self

from torch import Tensor

from ...cache import Cache
from ...errors import CacheMismatchError
from ...models.layer_maps import layer_pairs
from ...signals.relations.codec import AttentionCodec
from ...signals.relations.relations import (
    Relation,
    check_relation_heads,
    default_relation_heads,
    relation_kl_sum,
    relation_rows,
)
from ...signals.sites import Site
from ...signals.taps import Taps
from ..reading.batch import Batch
from ..reading.teacher_signals import TeacherSignals
from .teacher_layer import chosen_site
from .term import TERMS, SitePair, Term, TermContext

SAME = ("query", "key", "value")
"""QQ, KK and VV."""


@TERMS.register("relations")
class Relations(Term):
    """KL(teacher || student) of some relations of one attention module, in nats: the mean over rows and relation heads."""

    def __init__(
        self, codec: AttentionCodec, student: Site, relations: Sequence[Relation], heads: int, formula: str
    ) -> None:
        super().__init__()
        self.codec, self.relations, self.heads = codec, tuple(relations), heads
        self.parts = tuple(relation.kind for relation in relations)
        self.pairs = (SitePair(codec.site, student),)
        self._formula = formula

    @classmethod
    def build(cls, context: TermContext, options: Mapping[str, Any]) -> Self:
        """Return a term that compares the student's last layer with the deepest stored one of the teacher, or `--teacher-layer`.

        Raises CacheMismatchError if the cache does not store the site, and ConfigurationError if the relation heads do not fit.
        """
        site = str(options["site"])
        codec = teacher_codec(context, site)
        return cls(
            codec,
            last_site(context, site),
            [relation for relation in codec.relations if relation.kind in cls.kinds(context)],
            relation_heads(context, codec),
            cls.described(context, site),
        )

    @classmethod
    def kinds(cls, _context: TermContext) -> Sequence[str]:
        """Return the kinds of relations that the term averages."""
        return SAME

    @classmethod
    def described(cls, _context: TermContext, site: str) -> str:
        """Return the formula, for people."""
        stack = site.partition(".")[0]
        causal = ", causal" if stack == "decoder" else ""
        return f"mean KL of the relations among queries, keys and values (QQ, KK, VV) of the last {stack} self-attention{causal}"

    def counts(self, batch: Batch) -> dict[str, int]:
        return {relation.kind: relation_rows(relation, batch.valid, self.heads) for relation in self.relations}

    def sums(self, taps: Taps, teacher: TeacherSignals, batch: Batch) -> dict[str, Tensor]:
        [pair] = self.pairs
        ours, theirs = taps[str(pair.student)], teacher.sites[str(pair.teacher)]
        inverse_temperature = self.codec.inverse_temperature
        return {
            one.kind: relation_kl_sum(
                one, theirs, ours, batch.valid, self.heads, inverse_temperature.get(one.kind, 1.0)
            )
            for one in self.relations
        }

    def formula(self) -> str:
        return self._formula


@TERMS.register("cross_relations")
class CrossRelations(Relations):
    """Relations of cross-attention. The MiniEnD paper does not fix their form, so there are two (`--cross-relation`)."""

    @classmethod
    def kinds(cls, context: TermContext) -> Sequence[str]:
        return ("query_key",) if context.config.cross_relation == "qk" else SAME

    @classmethod
    def described(cls, context: TermContext, site: str) -> str:
        if context.config.cross_relation == "qk":
            return "KL of the relation of queries to keys (QK) of the last cross-attention: our reading of the paper"
        return (
            "mean KL of the relations among queries, keys and values (QQ, KK, VV) of the last cross-attention, QQ causal: "
            "also our reading of the paper"
        )


def teacher_codec(context: TermContext, site: str) -> AttentionCodec:
    """Return the codec of the layer of an attention site that `--teacher-layer` names, else of the deepest stored one.

    Raises CacheMismatchError if the cache does not store it, and ConfigurationError if the teacher does not have it.
    """
    chosen = chosen_site(context, site)
    codecs = [codec for codec in stored(context.cache, site) if chosen is None or codec.site == chosen]
    if not codecs:
        held = ", ".join(context.cache.codecs) or "no relations"
        raise CacheMismatchError(
            f"objective {context.objective} needs {site}, but {context.cache.path} holds {held}; dump that site too"
        )
    return codecs[-1]


def stored(cache: Cache, site: str) -> list[AttentionCodec]:
    """Return the codecs of an attention site, from the lowest layer to the deepest."""
    codecs = [codec for codec in cache.codecs.values() if codec.site.name == site]
    return sorted((codec for codec in codecs if isinstance(codec, AttentionCodec)), key=lambda codec: codec.site.layer)


def last_site(context: TermContext, name: str) -> Site:
    """Return the student's site of this name, in the layer that the map `last` chooses."""
    depth = context.family.depth(context.student.config, name.partition(".")[0])
    [(layer, _)] = layer_pairs("last", depth, 1)
    return Site(name, layer)


def relation_heads(context: TermContext, codec: AttentionCodec) -> int:
    """Return the number of relation heads of the run. Raises ConfigurationError if it does not divide all widths."""
    inner = context.inner_widths
    if context.config.relation_heads is None:
        return default_relation_heads(*inner.values(), codec.inner)
    check_relation_heads(context.config.relation_heads, **inner, teacher=math.gcd(codec.inner))
    return context.config.relation_heads
