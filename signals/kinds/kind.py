"""The interface of a kind of signal, the registry of kinds, and the parsing of site names.

A kind is the second half of a site's name: `encoder.self` is the kind `self` of the stack `encoder`.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
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

KIND_NAME = re.compile("[a-z][a-z0-9_]*")
"""The form of a kind's name, which documents write as a part of a site's."""


class Asked(Protocol):
    """The settings of the fits, as they are in the plan's `signals`."""

    @property
    def relation_kl(self) -> float:
        """The target of the worst relation KL, in nats."""

    @property
    def relation_step(self) -> float | None:
        """A fixed step, instead of the target."""

    @property
    def relation_rank(self) -> int | None:
        """The largest number of components per code; None for all."""

    @property
    def relation_temperature(self) -> str:
        """`published` or `calibrated`."""

    @property
    def hidden_error(self) -> float:
        """The target of the relative squared error of hidden states."""


@dataclass(frozen=True, slots=True)
class SiteSamples:
    """The samples of one site for its fit: three disjoint sets of calibration examples."""

    basis: Sequence[SiteSample]
    """The examples that the basis is fitted on."""
    step: Sequence[SiteSample]
    """The examples that the step is searched on."""
    report: Sequence[SiteSample]
    """The examples that the result is measured on."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CodesOnly:
    """An entry of a calibration that has nothing beside its codes."""


class SignalKind(ABC):
    """One kind of signal: which tensors, where in a model, how they are coded, fitted and measured."""

    name: ClassVar[str]
    member: ClassVar[str]
    """The plan's list of sites that holds this kind, `relations` or `hidden`; also the first word of its columns' names."""
    tensors: ClassVar[tuple[str, ...]]
    """The names of the tensors that are read at a site."""
    measure: ClassVar[str]
    """The name of its fidelity measure, for people."""
    entry: ClassVar[type[Any]] = CodesOnly
    """The members that a site's entry has in a calibration beside its codes: a frozen dataclass whose annotations say their form
    (`storage/documents/parse.py`). A codec's `description` writes them."""

    @abstractmethod
    def exists(self, stack: Stack) -> bool:
        """Return whether a stack has sites of this kind."""

    @abstractmethod
    def modules(self, model: nn.Module, site: Site) -> dict[str, nn.Module]:
        """Return the modules of a transformers model whose outputs are the site's tensors, by name of the tensor."""

    @abstractmethod
    def places(self, site: Site) -> tuple[CodePlace, ...]:
        """Return the code places of a site, in storage order."""

    @abstractmethod
    def width(self, facts: Facts) -> int:
        """Return the width of one tensor, given the teacher's facts."""

    @abstractmethod
    def fit(self, site: Site, samples: SiteSamples, asked: Asked) -> SiteCodec:
        """Fit the codec of a site. Raises ConfigurationError if the target cannot be reached."""

    @abstractmethod
    def measured(self, codec: Any, samples: Sequence[SiteSample]) -> dict[str, MeanOf]:
        """Return what the codec loses on some samples, by name of the measure."""

    @abstractmethod
    def measured_on_shards(self, codec: Any, sample: SiteSample) -> dict[str, MeanOf]:
        """Return what the codec loses on one sample of a shard; a mean may be a spread (`SpreadOf`)."""

    def measures(self, site: Site, facts: Facts) -> Collection[str] | None:
        """Return the names of everything that calibration and shards measure at a site; None if that is not always the same.

        `facts` are the teacher's.
        """
        return None

    @abstractmethod
    def read(self, site: Site, steps: Mapping[str, float], members: Any, arrays: Mapping[str, Tensor]) -> SiteCodec:
        """Rebuild a codec from a calibration.

        `steps` are by name of the place, `members` is the site's `entry`, `arrays` the arrays of the codes.
        """

    @abstractmethod
    def misfits(self, site: Site, members: Any, facts: Facts) -> Iterable[str]:
        """Return a sentence for each member of a site's `entry` that cannot be right for this teacher."""


def _is_kind(name: str, entry: Any) -> bool:
    return isinstance(entry, SignalKind) and entry.name == name and KIND_NAME.fullmatch(name) is not None


KINDS: Registry[SignalKind] = Registry(
    "kind of signal", "an object of miniend.SignalKind whose `name` is this one, in lower case without '-'", _is_kind
)
"""The second half of a site's name -> the kind."""


def kind_of(site: Site) -> SignalKind:
    """Return the kind of a site. Raises ConfigurationError if it is not registered."""
    return KINDS[site.kind]


def site_names() -> tuple[str, ...]:
    """Return the names of all sites that some family has, in the order in which a plan lists them."""
    stacks = {stack.name: stack for family in FAMILIES.values() for stack in family.stacks}
    return tuple(
        f"{stack.name}.{name}" for name, kind in KINDS.items() for stack in stacks.values() if kind.exists(stack)
    )


def parse_sites(text: str, depths: Mapping[str, int]) -> tuple[Site, ...]:
    """Resolve `SITE[@LAYER]` names, separated by commas; `depths` is the number of layers by stack.

    Return the sites sorted, without repeats. Raises ConfigurationError for unknown sites and for layers that the model does
    not have.
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
    """Return the token axis of the site's own stack."""
    return stack_named(site.stack).axis
