"""Which parameters an objective cannot reach, found by one backward probe instead of by reasoning about the graph.

An objective on the decoder's last Q, K and V says nothing about what comes after them: the last block's output projection,
cross-attention and feed-forward, the final norm, an untied head. Such parameters would stay at their random start while
weight decay shrank them, and distributed training would wait for gradients that never come. So they are found once, frozen,
kept out of the optimiser, and named in the log and the model card.

*Unreached* means that autograd leaves `grad` at None. A gradient that happens to be zero everywhere (softmax weights that
cancel, a token that does not occur) is one that another batch may change, so it counts as reached.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

from torch import Tensor

from ...errors import ConfigurationError

_SUBLAYERS = {
    "SelfAttention": "self-attention",
    "EncDecAttention": "cross-attention",
    "DenseReluDense": "feed-forward",
}
_OUTSIDE = {
    "shared.weight": "input embedding",
    "lm_head.weight": "output head",
    "encoder.final_layer_norm.weight": "encoder final norm",
    "decoder.final_layer_norm.weight": "decoder final norm",
}
_WHOLE = {
    "self-attention": {"layer_norm", "q", "k", "v", "o"},
    "cross-attention": {"layer_norm", "q", "k", "v", "o"},
    "feed-forward": {"layer_norm", "wo"},
}


def unreached_parameters(model: Any, loss: Callable[[], Tensor]) -> list[str]:
    """Names of the trainable parameters that `loss()` (a scalar of this model, on one batch) has no path to, in model order.

    Runs one forward and one backward; gradients are cleared before and after.
    """
    model.zero_grad(set_to_none=True)
    loss().backward()  # type: ignore[no-untyped-call]
    names = [name for name, parameter in model.named_parameters() if parameter.requires_grad and parameter.grad is None]
    model.zero_grad(set_to_none=True)
    return names


def freeze(model: Any, names: Iterable[str]) -> None:
    """Switch gradients off for the named parameters; an unknown name raises KeyError."""
    parameters = dict(model.named_parameters())
    for name in names:
        parameters[name].requires_grad_(False)


def require_encoder_gradient(names: Iterable[str], model: Any) -> None:
    """Refuse an objective that trains no parameter of the encoder's own (its input embedding does not count).

    Raises ConfigurationError; it happens with one decoder layer and decoder self-attention alone, where the encoder output
    enters after the last Q, K and V.
    """
    encoder = {name for name, _ in model.named_parameters() if name.startswith("encoder.block.")}
    if encoder and encoder <= set(names):
        raise ConfigurationError(
            "this objective gives the student's encoder no gradient at all; add a term that reaches it (encoder.self, "
            "decoder.cross or the logits), or give the student at least two decoder layers"
        )


def summarise_unreached(names: Iterable[str]) -> list[str]:
    """One line per block, in the order of `names`, e.g. `decoder block 5: self-attention o; whole feed-forward`."""
    lines: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for name in names:
        place, sublayer, part = _locate(name)
        lines[place][sublayer].add(part)
    return [_line(place, sublayers) for place, sublayers in lines.items()]


def _locate(name: str) -> tuple[str, str, str]:
    """(block, sublayer, part) of a parameter's name in transformers' T5 modules."""
    if ".block." not in name:
        return _OUTSIDE.get(name, name), "", ""
    stack, _, block, _, layer, module, *rest = name.removesuffix(".weight").split(".")
    if module == "layer_norm":
        kinds = ["self-attention", "feed-forward"] if stack == "encoder" else list(_SUBLAYERS.values())
        return f"{stack} block {block}", kinds[int(layer)], module
    return f"{stack} block {block}", _SUBLAYERS.get(module, module), ".".join(rest)


def _line(place: str, sublayers: dict[str, set[str]]) -> str:
    if "" in sublayers:
        return place
    return f"{place}: " + "; ".join(_sublayer(kind, parts) for kind, parts in sublayers.items())


def _sublayer(kind: str, parts: set[str]) -> str:
    entire = _WHOLE.get(kind, {""}) <= parts and (kind != "feed-forward" or parts & {"wi", "wi_0"})
    return f"whole {kind}" if entire else f"{kind} {', '.join(sorted(parts))}"
