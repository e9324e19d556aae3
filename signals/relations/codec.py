"""The codec of an attention site: its codes, and the measurements of its relations."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ..codes.code import CodePlace
from ..codes.site_codec import SiteCodec, codes_from
from ..sites import Site
from .relations import Relation, axes_of, relations_of, student_heads


@dataclass(frozen=True, kw_only=True, slots=True)
class AttentionEntry:
    """The members that the entry of an attention site has in a calibration, beside its codes (SPEC.md, section 5)."""

    inner: int
    heads: int
    alpha: Mapping[str, float]
    relative_entropy: Mapping[str, float]
    published_entropy: Mapping[str, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class AttentionCodec(SiteCodec):
    """The encoder and decoder of Q, K and V of one attention."""

    inner: int
    """The width of Q, K and V each."""
    heads: int
    """The number of relation heads at which temperatures and entropies were measured; a student may use another number."""
    inverse_temperature: dict[str, float]
    """The factor inside the softmax by relation kind; 1 is the published form. Documents call it `alpha`."""
    relative_entropy: dict[str, float]
    """The teacher's mean relative entropy by relation kind, at these inverse temperatures."""
    published_entropy: dict[str, float]
    """The teacher's mean relative entropy by relation kind, at inverse temperature 1."""

    @property
    def all_heads(self) -> tuple[int, ...]:
        """The numbers of relation heads at which fidelity was measured, most first: `heads` and all `student_heads`."""
        return tuple(sorted({self.heads, *student_heads(self.inner)}, reverse=True))

    @property
    def relations(self) -> tuple[Relation, ...]:
        """The relations of the site that were measured."""
        return relations_of(axes_of(self.places))

    def description(self) -> dict[str, Any]:
        """Return the part of the codec that is stored as JSON; `arrays` returns the rest."""
        return {
            **SiteCodec.description(self),
            "inner": self.inner,
            "heads": self.heads,
            "alpha": self.inverse_temperature,
            "relative_entropy": self.relative_entropy,
            "published_entropy": self.published_entropy,
        }


def attention_codec_from(
    site: Site,
    places: tuple[CodePlace, ...],
    steps: Mapping[str, float],
    members: AttentionEntry,
    arrays: Mapping[str, Tensor],
) -> AttentionCodec:
    """Rebuild the codec of an attention site from its entry and arrays."""
    return AttentionCodec(
        site=site,
        places=places,
        codes=codes_from(site, places, steps, arrays),
        inner=members.inner,
        heads=members.heads,
        inverse_temperature=dict(members.alpha),
        relative_entropy=dict(members.relative_entropy),
        published_entropy=dict(members.published_entropy),
    )
