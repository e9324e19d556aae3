"""The sets of heads and neurons of a model that have one order: the groups of its family's units."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ..families import Units, family_of


@dataclass(frozen=True, slots=True)
class Group:
    """The heads or neurons that must be sorted together."""

    name: str
    """`encoder.self`, or with a layer `decoder.cross@2`."""
    kind: str
    """HEADS or NEURONS."""
    count: int
    """The number of heads or neurons."""
    parameters: Mapping[str, Units]
    """How they divide each parameter that holds them, by its name."""

    @property
    def is_self_attention(self) -> bool:
        """Whether they are the heads of self-attentions."""
        return self.name.partition("@")[0].endswith(".self")

    @property
    def readers(self) -> tuple[str, ...]:
        """The parameters that read the units' outputs, one in each layer of the group."""
        return tuple(name for name, units in self.parameters.items() if units.reader)


def groups_of(model: Any) -> dict[str, Group]:
    """Return the groups of a model by name, in the order in which the model runs them."""
    family = family_of(model)
    members: dict[str, dict[str, tuple[Units, Tensor]]] = {}
    for name, parameter in model.named_parameters():
        if (units := family.units(name, model.config.d_kv)) is not None:
            members.setdefault(units.group, {})[name] = (units, parameter)
    return {group: _group(group, found) for group, found in members.items()}


def _group(name: str, found: Mapping[str, tuple[Units, Tensor]]) -> Group:
    units, parameter = next(iter(found.values()))
    count = parameter.shape[units.dimension] // units.width
    return Group(name, units.kind, count, {parameter: own for parameter, (own, _) in found.items()})
