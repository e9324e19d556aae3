"""The codec of one site: its codes, and how tensors become columns of integers and come back.

Each code place of a site stores its coefficients as `[rank, tokens]`, where `tokens` are the valid tokens of all examples in
order. The codes of a site that is predicted from another one hold the remainder (`prediction.py`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Self

import torch
from torch import Tensor

from ..fidelity import SiteSample
from ..sites import Site
from .code import ARRAYS, CodePlace, RelationCode, join_blocks

PREDICTION = "prediction"
"""The name of the array by which the decoded rows of the site below are multiplied."""
NOTHING: Mapping[str, Tensor] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True, slots=True)
class SiteCodec:
    """The encoder and decoder of one site. A kind of signal may extend this class, as `AttentionCodec` does."""

    site: Site
    places: tuple[CodePlace, ...]
    """The code places, in storage order."""
    codes: dict[str, RelationCode]
    """The codes by name of the place (`query_key_value`; `query` and `key_value` for cross-attention; `hidden`)."""
    predicted_from: Site | None = None
    """The site whose decoded tensors predict this one's; None for codes by themselves."""
    predictions: Mapping[str, Tensor] = field(default_factory=dict)
    """What multiplies its decoded rows, by name of the place: float32 [width, width]. Empty for codes by themselves."""

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
            valid, tokens = sample.valid[place.axis], sample.tokens[place.axis]
            rows = join_blocks(sample.tensors, place.blocks)[valid]
            if self.predicted_from:
                rows = rows.float() - self._predicted(place, sample.below, valid)
            columns[place.column] = self.codes[place.name].encode(rows, tokens[valid]).T
        return columns

    def decode(
        self, coefficients: Mapping[str, Tensor], tokens: Mapping[str, Tensor], below: Mapping[str, Tensor] = NOTHING
    ) -> dict[str, Tensor]:
        """Return the site's tensors by name, float32 [..., inner], from integers [..., rank] by column and ids [...] by axis.

        A site that is predicted needs the decoded tensors of the site below, [..., inner] (`prediction.decode_chain`).
        """
        tensors: dict[str, Tensor] = {}
        for place in self.places:
            code = self.codes[place.name]
            rows = code.decode(coefficients[place.column], tokens[place.axis])
            if self.predicted_from:
                rows = rows + self._predicted(place, below)
            tensors |= code.split(rows)
        return tensors

    def decoded(self, columns: Mapping[str, Tensor], sample: SiteSample) -> dict[str, Tensor]:
        """Return the tensors [B, length, inner] that a reader decodes from the columns of a sample; 0 at padding."""
        tensors: dict[str, Tensor] = {}
        for place in self.places:
            code, valid = self.codes[place.name], sample.valid[place.axis]
            rows = code.decode(columns[place.column].T, sample.tokens[place.axis][valid])
            if self.predicted_from:
                rows = rows + self._predicted(place, sample.below, valid)
            padded = rows.new_zeros(*valid.shape, rows.shape[-1])
            padded[valid] = rows
            tensors |= code.split(padded)
        return tensors

    def reconstruct(self, sample: SiteSample) -> dict[str, Tensor]:
        """Return the tensors [B, length, inner] as a student will see them: decode(encode(...)), including padding."""
        out: dict[str, Tensor] = {}
        rest = self.remainder(sample)
        for place in self.places:
            code, tokens = self.codes[place.name], sample.tokens[place.axis]
            rows = code.decode(code.encode(join_blocks(rest.tensors, place.blocks), tokens), tokens)
            if self.predicted_from:
                rows = rows + self._predicted(place, sample.below)
            out |= code.split(rows)
        return out

    def remainder(self, sample: SiteSample) -> SiteSample:
        """Return the sample of what the codes hold: the tensors minus their prediction, or the sample itself without one."""
        if not self.predicted_from:
            return sample
        tensors: dict[str, Tensor] = {}
        for place in self.places:
            rows = join_blocks(sample.tensors, place.blocks).float() - self._predicted(place, sample.below)
            tensors |= zip(place.blocks, rows.chunk(len(place.blocks), dim=-1), strict=True)
        return replace(sample, tensors=tensors)

    def _predicted(self, place: CodePlace, below: Mapping[str, Tensor], valid: Tensor | None = None) -> Tensor:
        """Return what the decoded tensors of the site below say of the rows of a place, all or the `valid` ones."""
        if not below:
            raise ValueError(f"{self.site} is predicted from {self.predicted_from}: give its decoded tensors too")
        rows = join_blocks(below, place.blocks)
        return (rows if valid is None else rows[valid]) @ self.predictions[place.name]

    def to(self, device: torch.device | str) -> Self:
        """Return the codec with its tensors on a device."""
        codes = {name: code.to(device) for name, code in self.codes.items()}
        return replace(self, codes=codes, predictions={name: one.to(device) for name, one in self.predictions.items()})

    def replaced(self, codes: dict[str, RelationCode]) -> Self:
        """Return the codec of the same site with other codes."""
        return replace(self, codes=codes)

    def description(self) -> dict[str, Any]:
        """Return the part of the codec that is stored as JSON; `arrays` returns the rest."""
        return {
            "site": str(self.site),
            **({"predicted_from": str(self.predicted_from)} if self.predicted_from else {}),
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
        """Return the arrays of the codes and predictions by name, e.g. `encoder.self@11.query_key_value.synthesis`."""
        predictions = {f"{self.site}.{place}.{PREDICTION}": one for place, one in self.predictions.items()}
        return predictions | {
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
