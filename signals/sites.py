"""Sites: the places of a model whose signals are cached, and how they are written.

A site is written STACK.KIND@LAYER, such as `encoder.self@11`. Without a layer it means the last one; negative layers count
from the end. The kinds (`signals/kinds`) say what a site stores, the families (`models/families`) where it is in a model.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import ConfigurationError


@dataclass(frozen=True, order=True, slots=True)
class Site:
    """One kind of signal of one layer."""

    name: str
    """STACK.KIND, for example `decoder.cross`."""
    layer: int
    """The layer, counted from 0."""

    def __str__(self) -> str:
        return f"{self.name}@{self.layer}"

    @property
    def stack(self) -> str:
        """The stack's name: `encoder` or `decoder`."""
        return self.name.partition(".")[0]

    @property
    def kind(self) -> str:
        """The name of the kind: `self`, `cross`, `hidden`, `final` or another that is registered."""
        return self.name.partition(".")[2]


def site_from(text: str) -> Site:
    """Return the site of a full name such as `encoder.self@11`, as it is written in documents."""
    name, _, layer = text.partition("@")
    return Site(name, int(layer))


def is_site(text: str) -> bool:
    """Whether a text is a full name of a site, of whatever stack and kind."""
    return bool(re.fullmatch(r"[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*@[0-9]{1,6}", text))


def find_site(name: str, sites: Sequence[str]) -> str:
    """Return the full name (`encoder.self@11`) of the stored site that a full or short name means.

    Raises KeyError if no site fits and ConfigurationError if a short name fits several layers.
    """
    if name in sites:
        return name
    fitting = [site for site in sites if site.partition("@")[0] == name]
    if not fitting:
        raise KeyError(f"no site {name!r} here; stored are {', '.join(sites) or 'none'}")
    if len(fitting) > 1:
        raise ConfigurationError(f"site {name!r} is stored for several layers; write one of {', '.join(fitting)}")
    return fitting[0]
