"""The kinds of signals that a site can store: one file for each."""

from ...runtime.registry import import_entries
from .kind import KINDS, Asked, SignalKind, SiteSamples, axis_of, kind_of, parse_sites, site_names

__all__ = ["KINDS", "Asked", "SignalKind", "SiteSamples", "axis_of", "kind_of", "parse_sites", "site_names"]

import_entries(__name__, __path__)
