"""The codec of one site: its codes, and how tensors become columns of integers and come back.

Each code place of a site stores its coefficients as `[rank, tokens]`, where `tokens` are the valid tokens of all examples in
order.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from torch import Tensor

from ..fidelity import SiteSample
from ..sites import Site
from .code import ARRAYS, CodePlace, RelationCode, join_blocks


@dataclass(frozen=True, kw_only=True, slots=True)
class SiteCodec:
    """The encoder and decoder of one site. A kind of signal may extend this class, as `AttentionCodec` does."""

    site: Site
    places: tuple[CodePlace, ...]
    """The code places, in storage order."""
    codes: dict[str, RelationCode]
    """The codes by name of the place (`query_key_value`; `query` and `key_value` for cross-attention; `hidden`)."""

    @property
    def columns(self) -> dict[str, CodePlace]:
        """The code places of the site by column name."""
        return {place.column: place for place in self.places}

    @property
    def width(self) -> int:
        """The width of one tensor."""
        place = self.places[0]
        return self.codes[place.name].mean.shape[0] // len(place.blocks)

    def encode(self, sample: SiteSample) -> dict[str, Tensor]:
        """Return the coefficients by column name, int32 [rank, valid tokens]."""
        columns = {}
        for place in self.places:
            rows = join_blocks(sample.tensors, place.blocks)
            valid, tokens = sample.valid[place.axis], sample.tokens[place.axis]
            columns[place.column] = self.codes[place.name].encode(rows[valid], tokens[valid]).T
        return columns

    def decode(self, coefficients: Mapping[str, Tensor], tokens: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the site's tensors by name, float32 [..., inner], from integers [..., rank] by column and ids [...] by axis."""
        tensors: dict[str, Tensor] = {}
        for place in self.places:
            code = self.codes[place.name]
            tensors |= code.split(code.decode(coefficients[place.column], tokens[place.axis]))
        return tensors

    def reconstruct(self, sample: SiteSample) -> dict[str, Tensor]:
        """Return the tensors [B, length, inner] as a student will see them: decode(encode(...)), including padding."""
        out: dict[str, Tensor] = {}
        for place in self.places:
            code, tokens = self.codes[place.name], sample.tokens[place.axis]
            out |= code.split(code.decode(code.encode(join_blocks(sample.tensors, place.blocks), tokens), tokens))
        return out

    def to(self, device: torch.device | str) -> Self:
        """Return the codec with its tensors on a device."""
        return self.replaced({name: code.to(device) for name, code in self.codes.items()})

    def replaced(self, codes: dict[str, RelationCode]) -> Self:
        """Return the codec of the same site with other codes."""
        return replace(self, codes=codes)

    def description(self) -> dict[str, Any]:
        """Return the part of the codec that is stored as JSON; `arrays` returns the rest."""
        return {
            "site": str(self.site),
            "codes": {
                place.name: {
                    "axis": place.axis,
                    "blocks": list(place.blocks),
                    "column": place.column,
                    "rank": self.codes[place.name].rank,
                    "step": self.codes[place.name].step,
                }
                for place in self.places
            },
        }

    def arrays(self) -> dict[str, Tensor]:
        """Return the arrays of the codes by name, e.g. `encoder.self@11.query_key_value.synthesis`."""
        return {
            f"{self.site}.{place}.{name}": getattr(code, name) for place, code in self.codes.items() for name in ARRAYS
        }


def codes_from(
    site: Site, places: tuple[CodePlace, ...], steps: Mapping[str, float], arrays: Mapping[str, Tensor]
) -> dict[str, RelationCode]:
    """Rebuild the codes of a site by name of the place, from their steps and arrays."""
    return {
        place.name: RelationCode(
            blocks=place.blocks,
            step=float(steps[place.name]),
            **{array: _as_used(arrays[f"{site}.{place.name}.{array}"]) for array in ARRAYS},
        )
        for place in places
    }


def _as_used(array: Tensor) -> Tensor:
    """Return the array as float32 or int32, since a column may store integers in a smaller type."""
    return array if array.dtype == torch.float32 else array.to(torch.int32)
