"""Sites: the places of an encoder-decoder whose signals are cached, how they are written, and the taps that read them.

An attention module, whose Q, K and V are cached, is written `encoder.self`, `decoder.self` or `decoder.cross`; the output of
a block, before any final layer norm, `encoder.hidden` or `decoder.hidden`. Each has an optional layer: `encoder.self@11`.
Without one it is the last layer; negative layers count from the end. The taps are forward hooks on the q, k and v linears and
on the blocks that every model of the family has, so the teacher and the student are read the same way and no model code is
forked.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from ..errors import ConfigurationError

ATTENTION_NAMES = ("encoder.self", "decoder.self", "decoder.cross")
HIDDEN_NAMES = ("encoder.hidden", "decoder.hidden")
SITE_NAMES = (*ATTENTION_NAMES, *HIDDEN_NAMES)
KINDS = ("query", "key", "value")
HIDDEN_KINDS = ("hidden",)
_LINEARS = {"query": "q", "key": "k", "value": "v"}


@dataclass(frozen=True, order=True, slots=True)
class Site:
    """One attention module or block of one layer, with the axis (input or target tokens) that its rows and keys lie on."""

    name: str
    layer: int

    def __str__(self) -> str:
        return f"{self.name}@{self.layer}"

    @property
    def hidden(self) -> bool:
        """Whether it is the output of a block, [length, d_model], and no attention module."""
        return self.name in HIDDEN_NAMES

    @property
    def kinds(self) -> tuple[str, ...]:
        """Names of the tensors that are read there."""
        return HIDDEN_KINDS if self.hidden else KINDS

    @property
    def query_axis(self) -> str:
        """The token axis of Q or of the hidden states: `input` for the encoder, `target` for the decoder."""
        return "input" if self.name.startswith("encoder") else "target"

    @property
    def key_axis(self) -> str:
        """The token axis of K and V: another than that of Q for cross-attention alone."""
        return "input" if self.name == "decoder.cross" else self.query_axis

    def modules(self, model: Any) -> dict[str, nn.Module]:
        """By kind, the modules of a transformers model whose output is the site's tensor."""
        if self.hidden:
            stack = model.encoder if self.name.startswith("encoder") else model.decoder
            return {"hidden": stack.block[self.layer]}
        attention = self.attention(model)
        return {kind: getattr(attention, linear) for kind, linear in _LINEARS.items()}

    def attention(self, model: Any) -> Any:
        """The attention module of a transformers model whose q, k and v linears an attention site reads."""
        if self.name == "encoder.self":
            return model.encoder.block[self.layer].layer[0].SelfAttention
        block = model.decoder.block[self.layer]
        return block.layer[0].SelfAttention if self.name == "decoder.self" else block.layer[1].EncDecAttention


def parse_sites(text: str, encoder_layers: int, decoder_layers: int) -> tuple[Site, ...]:
    """Resolve `SITE[@LAYER]` names, separated by commas, against a model's depth; the result is sorted, without repeats.

    Raises ConfigurationError for unknown sites and layers that the model lacks.
    """
    sites = set()
    for item in filter(None, (part.strip() for part in text.split(","))):
        name, _, layer = item.partition("@")
        if name not in SITE_NAMES:
            raise ConfigurationError(
                f"unknown site {name!r}; expected one of {', '.join(SITE_NAMES)}, with @LAYER if wanted"
            )
        depth = encoder_layers if name.startswith("encoder") else decoder_layers
        sites.add(Site(name, _resolve_layer(item, layer, depth)))
    return tuple(sorted(sites, key=lambda site: (SITE_NAMES.index(site.name), site.layer)))


def _resolve_layer(item: str, layer: str, depth: int) -> int:
    try:
        number = int(layer) if layer else -1
    except ValueError:
        raise ConfigurationError(f"site {item!r}: the layer after @ must be a whole number") from None
    if not -depth <= number < depth:
        raise ConfigurationError(
            f"site {item!r}: this model has {depth} layers there, so 0 to {depth - 1} or -{depth} to -1"
        )
    return number % depth


def find_site(name: str, sites: Sequence[str]) -> str:
    """The full name (`encoder.self@11`) that a full or short name means among those stored.

    Raises KeyError when none fits and ConfigurationError when a short name fits several layers.
    """
    if name in sites:
        return name
    fitting = [site for site in sites if site.partition("@")[0] == name]
    if not fitting:
        raise KeyError(f"no site {name!r} here; stored are {', '.join(sites) or 'none'}")
    if len(fitting) > 1:
        raise ConfigurationError(f"site {name!r} is stored for several layers; write one of {', '.join(fitting)}")
    return fitting[0]


@contextmanager
def tapped(model: Any, sites: Sequence[Site]) -> Iterator[Mapping[str, dict[str, Tensor]]]:
    """Capture the tensors of the sites during each forward inside the block.

    Yields a mapping site name -> {"query", "key", "value"} -> [batch, length, inner], or for a block -> {"hidden"} ->
    [batch, length, d_model], filled by the latest forward; the tensors are part of the graph when gradients are on.
    """
    captured: dict[str, dict[str, Tensor]] = {str(site): {} for site in sites}
    hooks = []
    for site in sites:
        for kind, module in site.modules(model).items():
            hooks.append(module.register_forward_hook(_keeper(captured[str(site)], kind)))
    try:
        yield captured
    finally:
        for hook in hooks:
            hook.remove()


def _keeper(store: dict[str, Tensor], kind: str) -> Any:
    def keep(_module: nn.Module, _inputs: Any, output: Any) -> None:
        store[kind] = output[0] if isinstance(output, tuple) else output  # a block may add its position biases

    return keep
