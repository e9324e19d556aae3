"""Masks of heads and neurons: factors on their outputs, before the linear map that reads them."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn

from ..families import family_of


@contextmanager
def masked(model: Any, masks: Mapping[str, Tensor]) -> Iterator[None]:
    """Inside the block, multiply the outputs of heads and neurons by masks.

    `masks` has by the name of a reader (the parameter of `o` or `wo`) one factor per head or neuron, [units]. A mask on the
    output of the reader would not be one of single heads.
    """
    family = family_of(model)
    with ExitStack() as hooks:
        for name, mask in masks.items():
            units = family.units(name, model.config.d_kv)
            assert units is not None, f"{name} does not hold heads or neurons"
            assert units.reader, f"{name} does not read their outputs"
            module = model.get_submodule(name.removesuffix(".weight"))
            hooks.callback(module.register_forward_pre_hook(_multiplied(mask, units.width)).remove)
        yield


def _multiplied(mask: Tensor, width: int) -> Callable[[nn.Module, tuple[Tensor, ...]], tuple[Tensor, ...]]:
    def hook(_module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        (outputs,) = inputs
        return (outputs * mask.repeat_interleave(width),)

    return hook
