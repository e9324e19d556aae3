"""Hidden states: the output of a block, before any final layer norm, predicted from the stored layer below if there is one."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from ...models.families import Facts, Stack, family_of
from ..codes.code import CodePlace
from ..codes.site_codec import codes_from
from ..fidelity import MeanOf, SiteSample
from ..hidden_states import CENTRES, CONTINUED, NORMALIZED, RAW, StateCodec, calibrate_hidden, measured_error
from ..sites import Site
from .kind import KINDS, Asked, SignalKind, SiteSamples, axis_of


class HiddenStates(SignalKind):
    """The output of a block, [length, d_model]."""

    name = "hidden"
    member = "hidden"
    tensors = ("hidden",)
    measure = "relative squared error"
    predictable = True

    def exists(self, stack: Stack) -> bool:
        return True

    def modules(self, model: nn.Module, site: Site) -> dict[str, nn.Module]:
        return {"hidden": family_of(model).block(model, site.stack, site.layer)}

    def places(self, site: Site) -> tuple[CodePlace, ...]:
        return (CodePlace("hidden", self.tensors, axis_of(site), f"{self.member}.{site}"),)

    def width(self, facts: Facts) -> int:
        return facts.d_model

    def fit(self, site: Site, samples: SiteSamples, asked: Asked) -> StateCodec:
        [place] = self.places(site)
        return calibrate_hidden(site, place, samples.basis, samples.step, asked.hidden_error, samples.below)

    def measured(self, codec: StateCodec, samples: Sequence[SiteSample]) -> dict[str, MeanOf]:
        return measured_error(codec, samples)

    def measured_on_shards(self, codec: StateCodec, sample: SiteSample) -> dict[str, MeanOf]:
        return measured_error(codec, [sample])

    def measures(self, site: Site, facts: Facts) -> tuple[str, ...]:
        return (*RAW, *NORMALIZED)

    def measures_once(self, site: Site) -> tuple[str, ...]:
        return (CONTINUED,)

    def arrays(self, site: Site, facts: Facts) -> Mapping[str, tuple[int, ...]]:
        return {CENTRES: (2, self.width(facts))}

    def read(self, site: Site, steps: Mapping[str, float], members: Any, arrays: Mapping[str, Tensor]) -> StateCodec:
        places = self.places(site)
        codes = codes_from(site, places, steps, arrays)
        return StateCodec(site=site, places=places, codes=codes, centres=arrays[f"{site}.{CENTRES}"])

    def misfits(self, site: Site, members: Any, facts: Facts) -> Iterable[str]:
        return ()


KINDS.add(HiddenStates.name, HiddenStates())
