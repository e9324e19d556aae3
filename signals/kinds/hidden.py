"""Hidden states: the output of a block, before any final layer norm."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from ...models.families import Facts, Stack, family_of
from ..codes.code import CodePlace
from ..codes.site_codec import SiteCodec, codes_from
from ..fidelity import MeanOf, SiteSample
from ..hidden_states import calibrate_hidden, measured_error
from ..sites import Site
from .kind import KINDS, Asked, SignalKind, SiteSamples, axis_of


class HiddenStates(SignalKind):
    """The output of a block, [length, d_model]."""

    name = "hidden"
    member = "hidden"
    tensors = ("hidden",)
    measure = "relative squared error"

    def exists(self, stack: Stack) -> bool:
        return True

    def modules(self, model: nn.Module, site: Site) -> dict[str, nn.Module]:
        return {"hidden": family_of(model).block(model, site.stack, site.layer)}

    def places(self, site: Site) -> tuple[CodePlace, ...]:
        return (CodePlace("hidden", self.tensors, axis_of(site), f"{self.member}.{site}"),)

    def width(self, facts: Facts) -> int:
        return facts.d_model

    def fit(self, site: Site, samples: SiteSamples, asked: Asked) -> SiteCodec:
        [place] = self.places(site)
        return calibrate_hidden(site, place, samples.basis, samples.step, asked.hidden_error)

    def measured(self, codec: SiteCodec, samples: Sequence[SiteSample]) -> dict[str, MeanOf]:
        return measured_error(codec, samples)

    def measured_on_shards(self, codec: SiteCodec, sample: SiteSample) -> dict[str, MeanOf]:
        return measured_error(codec, [sample])

    def measures(self, site: Site, facts: Facts) -> tuple[str, ...]:
        return ("squared_error", "energy")

    def read(self, site: Site, steps: Mapping[str, float], members: Any, arrays: Mapping[str, Tensor]) -> SiteCodec:
        places = self.places(site)
        return SiteCodec(site=site, places=places, codes=codes_from(site, places, steps, arrays))

    def misfits(self, site: Site, members: Any, facts: Facts) -> Iterable[str]:
        return ()


KINDS.add(HiddenStates.name, HiddenStates())
