"""What a kind of signal answers, the registry of kinds, and reading the names of sites.

A kind is the second half of a site's name: `encoder.self` is the kind `self` of the stack `encoder`.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from torch import Tensor, nn

from ...errors import ConfigurationError
from ...models.families import FAMILIES, Facts, Stack, stack_named
from ...runtime.registry import Registry
from ..codes.code import CodePlace
from ..codes.site_codec import SiteCodec
from ..fidelity import MeanOf, SiteSample
from ..sites import Site


class Asked(Protocol):
    """What a dump asks of the fits, as the plan's `signals` has it."""

    @property
    def relation_kl(self) -> float:
        """Target of the mean relation KL in nats."""

    @property
    def relation_step(self) -> float | None:
        """A fixed step instead of the target."""

    @property
    def relation_rank(self) -> int | None:
        """Most components per code."""

    @property
    def relation_temperature(self) -> str:
        """`published` or `calibrated`."""

    @property
    def hidden_error(self) -> float:
        """Target of the relative squared error of hidden states."""


@dataclass(frozen=True, slots=True)
class SiteSamples:
    """Samples of one site for its fit: three disjoint sets of calibration examples."""

    basis: Sequence[SiteSample]
    """On which bases are fitted."""
    step: Sequence[SiteSample]
    """On which steps are searched."""
    report: Sequence[SiteSample]
    """On which the result is measured."""


class SignalKind(ABC):
    """One kind of signal: which tensors, where in a model, how they are coded, fitted and measured."""

    name: ClassVar[str]
    member: ClassVar[str]
    """The plan's list of sites that it is in, `relations` or `hidden`; also the first word of its columns' names."""
    tensors: ClassVar[tuple[str, ...]]
    """The names of the tensors that are read at a site."""
    measure: ClassVar[str]
    """What its fidelity is, for people."""

    @abstractmethod
    def exists(self, stack: Stack) -> bool:
        """Whether a stack has sites of this kind."""

    @abstractmethod
    def modules(self, model: nn.Module, site: Site) -> dict[str, nn.Module]:
        """The modules of a transformers model whose outputs are the site's tensors, by tensor."""

    @abstractmethod
    def places(self, site: Site) -> tuple[CodePlace, ...]:
        """The code places of a site, in storage order."""

    @abstractmethod
    def width(self, facts: Facts) -> int:
        """The width of one tensor, by the teacher's facts."""

    @abstractmethod
    def fit(self, site: Site, samples: SiteSamples, asked: Asked) -> SiteCodec:
        """Fit the codec of a site. Raises ConfigurationError where the target cannot be reached."""

    @abstractmethod
    def measured(self, codec: Any, samples: Sequence[SiteSample]) -> dict[str, MeanOf]:
        """What the cache loses of a site on some samples, by what is measured."""

    @abstractmethod
    def measured_on_shards(self, codec: Any, sample: SiteSample) -> dict[str, MeanOf]:
        """The same of one example of a shard; means may be kept as a spread (`SpreadOf`)."""

    @abstractmethod
    def read(
        self, site: Site, steps: Mapping[str, float], members: Mapping[str, Any], arrays: Mapping[str, Tensor]
    ) -> SiteCodec:
        """Rebuild a codec from what a calibration says of its site.

        `steps` are by place, `members` are the entry's own members, `arrays` those of the codes.
        """

    @abstractmethod
    def misfits(self, site: Site, members: Mapping[str, Any], facts: Facts) -> Iterable[str]:
        """A sentence for each thing in a calibration's entry that cannot be right for this teacher."""


KINDS: Registry[SignalKind] = Registry("kind of signal")
"""The second half of a site's name -> what it stores."""


def kind_of(site: Site) -> SignalKind:
    """The kind of a site. Raises ConfigurationError where it is not registered."""
    return KINDS[site.kind]


def site_names() -> tuple[str, ...]:
    """The names of all sites that some family has, in the order in which a plan lists them."""
    stacks = {stack.name: stack for family in FAMILIES.values() for stack in family.stacks}
    return tuple(
        f"{stack.name}.{name}" for name, kind in KINDS.items() for stack in stacks.values() if kind.exists(stack)
    )


def parse_sites(text: str, depths: Mapping[str, int]) -> tuple[Site, ...]:
    """Resolve `SITE[@LAYER]` names, separated by commas, against the depth of each stack.

    The result is sorted, without repeats. Raises ConfigurationError for unknown sites and layers that the model lacks.
    """
    names, sites = site_names(), set()
    for item in filter(None, (part.strip() for part in text.split(","))):
        name, _, layer = item.partition("@")
        if name not in names or name.partition(".")[0] not in depths:
            raise ConfigurationError(
                f"unknown site {name!r}; expected one of {', '.join(names)}, with @LAYER if wanted"
            )
        sites.add(Site(name, _resolve_layer(item, layer, depths[name.partition(".")[0]])))
    return tuple(sorted(sites, key=lambda site: (names.index(site.name), site.layer)))


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


def axis_of(site: Site) -> str:
    """The token axis of the site's own stack."""
    return stack_named(site.stack).axis
