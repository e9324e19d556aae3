"""The units that pruning removes from a model, attention heads and feed-forward neurons, and the parameters that hold them."""

from dataclasses import dataclass

HEADS, NEURONS = "heads", "neurons"
"""The two kinds of units."""


@dataclass(frozen=True, slots=True)
class Units:
    """How heads or neurons divide one dimension of a parameter, one after the other."""

    kind: str
    """HEADS or NEURONS."""
    group: str
    """The parameters of one group hold the same units, so their order must be the same: `decoder.cross@2`."""
    dimension: int
    """The dimension of the parameter that the units divide."""
    width: int
    """The number of entries of one unit along that dimension: d_kv, or 1."""
    reader: bool
    """Whether the parameter is the linear map that reads the units' outputs, so that a mask of the units is put on its input."""
