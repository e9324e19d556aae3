"""Taps: forward hooks that read the tensors of sites, in the same way from teacher and student.

No model code is forked: the hooks are on the modules that the kind of a site names.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from ..errors import ConfigurationError, shortened
from .kinds import kind_of
from .sites import Site

Taps = Mapping[str, dict[str, Tensor]]
"""Full name of a site -> name of a tensor -> [batch, length, width]."""


@contextmanager
def tapped(model: Any, sites: Sequence[Site]) -> Iterator[Taps]:
    """Capture the tensors of the sites during each forward inside the block.

    Yields a mapping that the latest forward filled, by full name of the site. An attention has `query`, `key` and `value`,
    [batch, length, inner] each; a block has `hidden`, [batch, length, d_model]. The tensors are part of the graph if gradients
    are on.
    """
    captured: dict[str, dict[str, Tensor]] = {str(site): {} for site in sites}
    hooks = []
    for site in dict.fromkeys(sites):
        for tensor, module in _modules(model, site).items():
            hooks.append(module.register_forward_hook(_keeper(site, captured[str(site)], tensor)))
    try:
        yield captured
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def replaced(model: Any, site: Site, tensors: Mapping[str, Tensor]) -> Iterator[None]:
    """Put other tensors, [batch, length, width] by name, in the place of a site's in each forward inside the block.

    The model goes on from them with its own weights.
    """
    hooks = [
        module.register_forward_hook(_replacer(tensors[tensor])) for tensor, module in _modules(model, site).items()
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _replacer(values: Tensor) -> Any:
    def replace(_module: nn.Module, _inputs: Any, output: Any) -> Any:
        if isinstance(output, tuple):
            return values.to(output[0].dtype), *output[1:]
        return values.to(output.dtype)

    return replace


def _modules(model: Any, site: Site) -> dict[str, nn.Module]:
    """Return the modules whose outputs are a site's tensors. Raises ConfigurationError if the kind names others."""
    kind = kind_of(site)
    modules = kind.modules(model, site)
    if (
        not isinstance(modules, Mapping)
        or set(modules) != set(kind.tensors)
        or not all(isinstance(module, nn.Module) for module in modules.values())
    ):
        raise ConfigurationError(
            f"kind of signal {kind.name}: `modules` should return a module for each of its tensors {kind.tensors}, found "
            f"{shortened(repr(modules))}; correct the kind"
        )
    return modules


def _keeper(site: Site, store: dict[str, Tensor], tensor: str) -> Any:
    def keep(_module: nn.Module, _inputs: Any, output: Any) -> None:
        first = output[0] if isinstance(output, tuple) else output  # a block may return its position biases too
        if not isinstance(first, Tensor) or first.ndim != 3:
            found = tuple(first.shape) if isinstance(first, Tensor) else type(first).__name__
            raise ConfigurationError(
                f"kind of signal {site.kind}: the module of {tensor} should return a tensor [batch, length, width], found "
                f"{found}; correct the kind"
            )
        store[tensor] = first

    return keep
