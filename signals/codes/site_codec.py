"""Everything a calibration says of one site: its codes and, of attention, temperatures and how informative relations are.

A site's coefficients are stored per code place as `[rank, tokens]`, tokens being the valid ones of all examples in order.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from torch import Tensor

from ..fidelity import SiteSample
from ..sites import Site
from .code import ARRAYS, CodePlace, RelationCode, code_places, join_blocks


def column_name(site: Site, place: CodePlace) -> str:
    """Name of the column that holds a code's coefficients: `relations.decoder.cross@11.key_value`, `hidden.encoder.hidden@6`."""
    return f"hidden.{site}" if site.hidden else f"relations.{site}.{place.name}"


@dataclass(frozen=True, kw_only=True, slots=True)
class CodedSite:
    """Encoder and decoder of one site: of hidden states all there is, of attention what `SiteCodec` stands on."""

    site: Site
    codes: dict[str, RelationCode]
    """By place name (`query_key_value`; `query` and `key_value` for cross-attention; `hidden`)."""

    def places(self) -> tuple[CodePlace, ...]:
        """The code places of the site, in storage order."""
        return code_places(self.site)

    def columns(self) -> dict[str, CodePlace]:
        """The code places of the site by column name."""
        return {column_name(self.site, place): place for place in self.places()}

    def encode(self, sample: SiteSample) -> dict[str, Tensor]:
        """Coefficients by column name, int32 [rank, valid tokens]."""
        columns = {}
        for place in self.places():
            rows = join_blocks(sample.tensors, place.blocks)
            valid, tokens = sample.valid[place.axis], sample.tokens[place.axis]
            columns[column_name(self.site, place)] = self.codes[place.name].encode(rows[valid], tokens[valid]).T
        return columns

    def decode(self, coefficients: Mapping[str, Tensor], tokens: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The site's tensors by kind, float32 [..., inner], from integers [..., rank] by column name and ids [...] by axis."""
        tensors: dict[str, Tensor] = {}
        for place in self.places():
            code = self.codes[place.name]
            tensors |= code.split(code.decode(coefficients[column_name(self.site, place)], tokens[place.axis]))
        return tensors

    def reconstruct(self, sample: SiteSample) -> dict[str, Tensor]:
        """What a student will see of the tensors [B, length, inner]: decode(encode(...)), padding included."""
        out: dict[str, Tensor] = {}
        for place in self.places():
            code, tokens = self.codes[place.name], sample.tokens[place.axis]
            out |= code.split(code.decode(code.encode(join_blocks(sample.tensors, place.blocks), tokens), tokens))
        return out

    def to(self, device: torch.device | str) -> Self:
        """The same codec with its tensors on a device."""
        return self.replaced({name: code.to(device) for name, code in self.codes.items()})

    def replaced(self, codes: dict[str, RelationCode]) -> Self:
        """The same site with other codes."""
        return replace(self, codes=codes)

    def description(self) -> dict[str, Any]:
        """The JSON half of the codec; `arrays` is the other."""
        return {
            "site": str(self.site),
            "codes": {
                place.name: {
                    "axis": place.axis,
                    "blocks": list(place.blocks),
                    "column": column_name(self.site, place),
                    "rank": self.codes[place.name].rank,
                    "step": self.codes[place.name].step,
                }
                for place in self.places()
            },
        }

    def arrays(self) -> dict[str, Tensor]:
        """The arrays of the codes by name, e.g. `encoder.self@11.query_key_value.synthesis`."""
        return {
            f"{self.site}.{place}.{name}": getattr(code, name) for place, code in self.codes.items() for name in ARRAYS
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class SiteCodec(CodedSite):
    """The same of an attention site, with what was measured of its relations."""

    inner: int
    heads: int
    """Relation heads at which temperature, step and fidelity were measured; a student may use another number."""
    alpha: dict[str, float]
    """Factor inside the softmax per relation kind; 1 is the published form."""
    relative_entropy: dict[str, float]
    """Teacher's mean relative entropy per relation kind at these factors."""
    published_entropy: dict[str, float]
    """The same at alpha = 1."""

    def description(self) -> dict[str, Any]:
        """The JSON half of the codec; `arrays` is the other."""
        return {
            **CodedSite.description(self),
            "inner": self.inner,
            "heads": self.heads,
            "alpha": self.alpha,
            "relative_entropy": self.relative_entropy,
            "published_entropy": self.published_entropy,
        }


def coded_site_from(description: Mapping[str, Any], arrays: Mapping[str, Tensor]) -> CodedSite:
    """Rebuild the codes of a site from their description and arrays."""
    name, _, layer = description["site"].partition("@")
    site = Site(name, int(layer))
    codes = {
        place.name: RelationCode(
            blocks=place.blocks,
            step=float(description["codes"][place.name]["step"]),
            **{array: _as_used(arrays[f"{site}.{place.name}.{array}"]) for array in ARRAYS},
        )
        for place in code_places(site)
    }
    return CodedSite(site=site, codes=codes)


def site_codec_from(description: Mapping[str, Any], arrays: Mapping[str, Tensor]) -> SiteCodec:
    """Rebuild the codec of an attention site from its description and arrays."""
    coded = coded_site_from(description, arrays)
    return SiteCodec(
        site=coded.site,
        codes=coded.codes,
        inner=int(description["inner"]),
        heads=int(description["heads"]),
        alpha=dict(description["alpha"]),
        relative_entropy=dict(description["relative_entropy"]),
        published_entropy=dict(description["published_entropy"]),
    )


def _as_used(array: Tensor) -> Tensor:
    """float32 or int32: a column may store integers in a smaller type."""
    return array if array.dtype == torch.float32 else array.to(torch.int32)
