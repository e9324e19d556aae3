"""Find the parameters that an objective cannot reach, by one backward probe instead of by reasoning about the graph.

An objective on the decoder's last Q, K and V does not depend on the parameters after them: the last block's output projection,
cross-attention and feed-forward, the final norm, an untied head. They would keep their random start while weight decay shrank
them, and distributed training would wait for gradients that never come. So we find them once, freeze them, keep them out of the
optimizer, and name them in the log and the model card.

*Unreached* means that autograd leaves `grad` at None. A gradient may happen to be zero everywhere (softmax weights that cancel,
a token that does not occur). Another batch may change that, so such a parameter counts as reached.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable

from torch import Tensor, nn

from ...errors import ConfigurationError
from ...models.families import Family

STUDENT = "student."
"""The prefix of the student's parameters among the names of all trained parameters."""


def unreached_parameters(trained: nn.Module, loss: Callable[[], Tensor]) -> list[str]:
    """Return the names of the trainable parameters that `loss()` (a scalar, on one batch) does not depend on, in their order.

    Runs one forward and one backward, and clears the gradients before and after.
    """
    trained.zero_grad(set_to_none=True)
    loss().backward()  # type: ignore[no-untyped-call]
    names = [
        name for name, parameter in trained.named_parameters() if parameter.requires_grad and parameter.grad is None
    ]
    trained.zero_grad(set_to_none=True)
    return names


def freeze(trained: nn.Module, names: Iterable[str]) -> None:
    """Switch off gradients for the named parameters. Raises KeyError for an unknown name."""
    parameters = dict(trained.named_parameters())
    for name in names:
        parameters[name].requires_grad_(False)


def require_gradient_of_what_is_read(names: Iterable[str], student: nn.Module, family: Family) -> None:
    """Raise ConfigurationError if the objective does not train any block of a stack that another stack reads.

    An input embedding does not count. The error occurs with one decoder layer and only decoder self-attention, because the
    encoder output enters after the last Q, K and V.
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
    """Return one line per block, in the order of `names`, e.g. `decoder block 5: self-attention o; whole feed-forward`."""
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
