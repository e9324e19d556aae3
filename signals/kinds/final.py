"""Final states: the output of a stack after its final norm, which is what users of an encoder read."""

from torch import nn

from ...models.families import Stack, family_of
from ..sites import Site
from .hidden import HiddenStates
from .kind import KINDS


class FinalStates(HiddenStates):
    """The output of the whole encoder, [length, d_model]; the states are coded and measured as hidden states are."""

    name = "final"
    predictable = False

    def exists(self, stack: Stack) -> bool:
        return not stack.causal

    def layers(self, depth: int) -> range:
        return range(depth - 1, depth)

    def modules(self, model: nn.Module, site: Site) -> dict[str, nn.Module]:
        return {"hidden": family_of(model).final_norm(model, site.stack)}


KINDS.add(FinalStates.name, FinalStates())
