"""Sort heads and neurons by importance. The model's function stays the same, and then every smaller model is a prefix of it.

The heads of an attention, and the neurons of a feed-forward, can be renumbered: the map that reads them sums over all of them.
Where the blocks of a stack share the position bias of the first one, head i of each block has the bias of column i. So all those
blocks have one order, and the columns of the bias have it too.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ...errors import ConfigurationError
from ..families import Units
from .groups import groups_of

Orders = Mapping[str, Sequence[int]]
"""By group, the numbers of all its heads or neurons in the unsorted model, the most important first."""


def sort_model(model: Any, orders: Orders) -> None:
    """Put heads and neurons into the order of their group, in place. Groups without an order stay as they are.

    Raises ConfigurationError for an unknown group, and for an order that does not name each unit once.
    """
    groups = groups_of(model)
    for name, order in orders.items():
        if name not in groups:
            raise ConfigurationError(
                f"the model does not have heads or neurons {name!r}; expected some of {', '.join(groups)}"
            )
        if sorted(order) != list(range(groups[name].count)):
            raise ConfigurationError(f"the order of {name} does not name each of its {groups[name].count} units once")
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name, order in orders.items():
            for parameter, units in groups[name].parameters.items():
                parameters[parameter].copy_(reordered(parameters[parameter], units, order))


def reordered(tensor: Tensor, units: Units, order: Sequence[int]) -> Tensor:
    """Return a tensor whose units are in this order."""
    first = torch.tensor(order, device=tensor.device)[:, None] * units.width
    index = (first + torch.arange(units.width, device=tensor.device)).flatten()
    return tensor.index_select(units.dimension, index)
