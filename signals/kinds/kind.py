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
from ..layer_lists import is_layers, layers_in
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
    below: Site | None = None
    """The site whose decoded tensors the samples have as `below`, and predict these; None for a code by itself."""


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
    predictable: ClassVar[bool] = False
    """Whether a layer can be predicted from the stored layer below it (`signals/codes/prediction.py`), so that `fit` reads
    `SiteSamples.below`."""
    entry: ClassVar[type[Any]] = CodesOnly
    """The members that a site's entry has in a calibration beside its codes: a frozen dataclass whose annotations say their form
    (`storage/documents/parse.py`). A codec's `description` writes them."""

    @abstractmethod
    def exists(self, stack: Stack) -> bool:
        """Return whether a stack has sites of this kind."""

    def layers(self, depth: int) -> range:
        """Return the layers that have a site of this kind, in a stack of so many."""
        return range(depth)

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

    def arrays(self, site: Site, facts: Facts) -> Mapping[str, tuple[int, ...]]:
        """Return the shapes of the float32 arrays that a codec has beside its codes' own, by name after the site's."""
        return {}

    def measures_once(self, site: Site) -> Collection[str]:
        """Return the names of what only the calibration measures, and not for every site."""
        return ()

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


def parse_sites(texts: str | Sequence[str], depths: Mapping[str, int]) -> tuple[Site, ...]:
    """Resolve `SITE[@LAYERS]`, one or several with commas in each text; `depths` is the number of layers by stack.

    A site without layers means its last layer. The layers of a site are a list (`signals/layer_lists.py`), whose commas do not
    begin another site: `encoder.hidden@1-5,8,decoder.self` names two sites. Each text is read by itself.

    Return the sites sorted, without repeats. Raises ConfigurationError for unknown sites and for layers that the model does
    not have.
    """
    names, sites = site_names(), set[Site]()
    for text in (texts,) if isinstance(texts, str) else texts:
        for name, listed in _named_in(text):
            stack = name.partition(".")[0]
            if name not in names or stack not in depths:
                known = [one for one in names if one.partition(".")[0] in depths]
                raise ConfigurationError(
                    f"unknown site {name!r}; expected one of {', '.join(known)}, with @LAYERS if wanted"
                )
            for layers in listed:
                written = f"{name}@{','.join(listed)}"
                found = layers_in(layers, depths[stack], written)
                _require_layers(name, found, depths[stack], written)
                sites |= {Site(name, layer) for layer in found}
    return tuple(sorted(sites, key=lambda site: (names.index(site.name), site.layer)))


def _require_layers(name: str, layers: Iterable[int], depth: int, written: str) -> None:
    """Raise ConfigurationError for layers that do not have a site of this kind."""
    kind = KINDS[name.partition(".")[2]]
    if others := [layer for layer in layers if layer not in kind.layers(depth)]:
        only = ", ".join(map(str, kind.layers(depth)))
        raise ConfigurationError(f"{written}: {name} is of layer {only} only, not of {others[0]}; leave the layers out")


def _named_in(text: str) -> list[tuple[str, list[str]]]:
    """Return the sites of a text, each with the parts of its list of layers."""
    named: list[tuple[str, list[str]]] = []
    open_list = False
    for item in filter(None, (part.strip() for part in text.split(","))):
        if not is_layers(item):
            name, at, layers = item.partition("@")
            named.append((name, [layers if at else "-1"]))
            open_list = bool(at)
        elif open_list:
            named[-1][1].append(item)
        else:
            raise ConfigurationError(f"{item!r} in {text!r} is a layer without a site; write SITE@LAYERS")
    return named


def axis_of(site: Site) -> str:
    """Return the token axis of the site's own stack."""
    return stack_named(site.stack).axis
