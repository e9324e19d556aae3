"""The kinds of signals that a site can store: one file and one line here for each."""

from . import attention, hidden
from .kind import KINDS, Asked, SignalKind, SiteSamples, axis_of, kind_of, parse_sites, site_names

__all__ = [
    "KINDS",
    "Asked",
    "SignalKind",
    "SiteSamples",
    "attention",
    "axis_of",
    "hidden",
    "kind_of",
    "parse_sites",
    "site_names",
]
