"""The prefix of a model: the first heads and neurons of each of its parameters, by name.

q, k, v keep rows [: h' d_kv], o keeps columns [: h' d_kv], a position bias keeps columns [: h'], the feed-forward's inputs keep
rows [: d_ff'] and its output keeps columns [: d_ff']. All else is whole.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from ..families import HEADS, Family, family_of
from .widths import Widths, with_widths

Slices = Mapping[str, tuple[slice, ...]]
"""By the name of a parameter, the index of the part that is kept; an empty index keeps the whole parameter."""


def prefix_slices(family: Family, names: Iterable[str], d_kv: int, widths: Widths) -> dict[str, tuple[slice, ...]]:
    """Return the index of the prefix of every parameter: `tensor[slices[name]]` is a view of it.

    `names` are names of a model's parameters, `d_kv` is the width of its heads.
    """
    slices: dict[str, tuple[slice, ...]] = {}
    for name in names:
        units = family.units(name, d_kv)
        if units is None:
            slices[name] = ()
        else:
            count = widths.heads if units.kind == HEADS else widths.d_ff
            slices[name] = (*[slice(None)] * units.dimension, slice(count * units.width))
    return slices


def prefix_of(tensors: Mapping[str, Tensor], slices: Slices) -> dict[str, Tensor]:
    """Return the kept part of every tensor, as views through which gradients reach the tensors."""
    return {name: tensor[slices[name]] for name, tensor in tensors.items()}


def cut_model(model: Any, widths: Widths) -> Any:
    """Return a new model of smaller widths with the first heads and neurons of `model`, on the CPU, in its dtype.

    Plain transformers must compute what `model` computes, as it does for a student (`save.py`). torch's random state stays as
    it was.
    """
    family = family_of(model)
    smaller = _of_widths(model, widths)
    state = model.state_dict()
    smaller.load_state_dict(prefix_of(state, prefix_slices(family, state, model.config.d_kv, widths)))
    smaller.generation_config = model.generation_config
    return smaller.train(model.training)


def skeleton_of(model: Any, widths: Widths) -> Any:
    """Return a model of smaller widths whose parameters are on the meta device: their shapes without their values.

    `torch.func.functional_call` runs it with parameters from elsewhere, such as `prefix_of` the parameters of `model`.
    """
    with torch.device("meta"):
        return _of_widths(model, widths).train(model.training)


def _of_widths(model: Any, widths: Widths) -> Any:
    """Return a new model of smaller widths with any weights, tied as in `model`, on torch's default device."""
    family = family_of(model)
    with torch.random.fork_rng(devices=[]):
        smaller = type(model)(with_widths(model.config, widths)).to(model.dtype)
        if not family.tied(model):
            family.untie(smaller)
            smaller.to(model.dtype)
    return smaller
