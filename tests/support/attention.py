"""Attention sites: the token axis of each of their tensors, and their relations."""

from miniend.signals.kinds import kind_of
from miniend.signals.relations.relations import axes_of, relations_of


def axes_at(site):
    """`query`, `key` and `value` -> `input` or `target`."""
    return axes_of(kind_of(site).places(site))


def relations_at(site):
    """All relations of a site."""
    return relations_of(axes_at(site))
