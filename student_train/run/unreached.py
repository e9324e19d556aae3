"""Which parameters an objective cannot reach, found by one backward probe instead of by reasoning about the graph.

An objective on the decoder's last Q, K and V says nothing about what comes after them: the last block's output projection,
cross-attention and feed-forward, the final norm, an untied head. Such parameters would stay at their random start while
weight decay shrank them, and distributed training would wait for gradients that never come. So they are found once, frozen,
kept out of the optimizer, and named in the log and the model card.

*Unreached* means that autograd leaves `grad` at None. A gradient that happens to be zero everywhere (softmax weights that
cancel, a token that does not occur) is one that another batch may change, so it counts as reached.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable

from torch import Tensor, nn

from ...errors import ConfigurationError
from ...models.families import Family

STUDENT = "student."
"""What the names of the student's parameters start with, among all that is trained."""


def unreached_parameters(trained: nn.Module, loss: Callable[[], Tensor]) -> list[str]:
    """Names of the trainable parameters that `loss()` (a scalar, on one batch) does not have a path to, in their order.

    Runs one forward and one backward; gradients are cleared before and after.
    """
    trained.zero_grad(set_to_none=True)
    loss().backward()  # type: ignore[no-untyped-call]
    names = [
        name for name, parameter in trained.named_parameters() if parameter.requires_grad and parameter.grad is None
    ]
    trained.zero_grad(set_to_none=True)
    return names


def freeze(trained: nn.Module, names: Iterable[str]) -> None:
    """Switch gradients off for the named parameters; an unknown name raises KeyError."""
    parameters = dict(trained.named_parameters())
    for name in names:
        parameters[name].requires_grad_(False)


def require_gradient_of_what_is_read(names: Iterable[str], student: nn.Module, family: Family) -> None:
    """Refuse an objective that trains no block of a stack which another one reads (an input embedding does not count).

    Raises ConfigurationError. It happens with one decoder layer and decoder self-attention only, where the encoder output
    enters after the last Q, K and V.
    """
    unreached = {name.removeprefix(STUDENT) for name in names}
    for name in dict.fromkeys(stack.reads for stack in family.stacks if stack.reads):
        own = family.stack_parameters(student, name)
        if own and own <= unreached:
            raise ConfigurationError(
                f"this objective gives the student's {name} no gradient at all; add a term that reaches it ({name}.self, "
                "decoder.cross or the logits), or give the student at least two decoder layers"
            )


def summarise_unreached(names: Iterable[str], family: Family) -> list[str]:
    """One line per block, in the order of `names`, e.g. `decoder block 5: self-attention o; whole feed-forward`."""
    lines: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for name in names:
        own = name.removeprefix(STUDENT)
        place, sublayer, part = (own, "", "") if own == name else family.located(own)
        lines[place][sublayer].add(part)
    return [_line(place, sublayers, family) for place, sublayers in lines.items()]


def _line(place: str, sublayers: dict[str, set[str]], family: Family) -> str:
    if "" in sublayers:
        return place
    return f"{place}: " + "; ".join(_sublayer(kind, parts, family) for kind, parts in sublayers.items())


def _sublayer(kind: str, parts: set[str], family: Family) -> str:
    return f"whole {kind}" if family.is_whole(kind, parts) else f"{kind} {', '.join(sorted(parts))}"
