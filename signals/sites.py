"""Sites: the places of an encoder-decoder whose Q, K and V are cached, how they are written, and the taps that read them.

A site is written `encoder.self`, `decoder.self` or `decoder.cross`, with an optional layer: `encoder.self@11`. Without one
it is the last layer; negative layers count from the end. The taps are forward hooks on the q, k and v linears that every
model of the family has, so the teacher and the student are read the same way and no model code is forked.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from ..errors import ConfigurationError

SITE_NAMES = ("encoder.self", "decoder.self", "decoder.cross")
RESERVED_NAMES = ("encoder.hidden", "decoder.hidden")
KINDS = ("query", "key", "value")
_LINEARS = {"query": "q", "key": "k", "value": "v"}


@dataclass(frozen=True, order=True, slots=True)
class Site:
    """One attention module of one layer, with the axis (input or target tokens) that its rows and keys lie on."""

    name: str
    layer: int

    def __str__(self) -> str:
        return f"{self.name}@{self.layer}"

    @property
    def query_axis(self) -> str:
        """The token axis of Q: `input` for the encoder, `target` for the decoder."""
        return "input" if self.name == "encoder.self" else "target"

    @property
    def key_axis(self) -> str:
        """The token axis of K and V: `target` for decoder self-attention alone."""
        return "target" if self.name == "decoder.self" else "input"

    def attention(self, model: Any) -> Any:
        """The attention module of a transformers model whose q, k and v linears this site reads."""
        if self.name == "encoder.self":
            return model.encoder.block[self.layer].layer[0].SelfAttention
        block = model.decoder.block[self.layer]
        return block.layer[0].SelfAttention if self.name == "decoder.self" else block.layer[1].EncDecAttention


def parse_sites(text: str, encoder_layers: int, decoder_layers: int) -> tuple[Site, ...]:
    """Resolve `SITE[@LAYER]` names, separated by commas, against a model's depth; the result is sorted, without repeats.

    Raises ConfigurationError for unknown sites, layers that the model lacks, and sites that are reserved but not built.
    """
    sites = set()
    for item in filter(None, (part.strip() for part in text.split(","))):
        name, _, layer = item.partition("@")
        if name in RESERVED_NAMES:
            raise ConfigurationError(
                f"{name}: caching hidden states is not supported yet; sites are {', '.join(SITE_NAMES)}"
            )
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
    """Capture Q, K and V of the sites during each forward inside the block.

    Yields a mapping site name -> {"query", "key", "value"} -> [batch, length, inner], filled by the latest forward; the
    tensors are part of the graph when gradients are on.
    """
    captured: dict[str, dict[str, Tensor]] = {str(site): {} for site in sites}
    hooks = []
    for site in sites:
        attention = site.attention(model)
        for kind in KINDS:
            linear = getattr(attention, _LINEARS[kind])
            hooks.append(linear.register_forward_hook(_keeper(captured[str(site)], kind)))
    try:
        yield captured
    finally:
        for hook in hooks:
            hook.remove()


def _keeper(store: dict[str, Tensor], kind: str) -> Any:
    def keep(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
        store[kind] = output

    return keep
