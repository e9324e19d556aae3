"""Tiny caches and the sorted teachers of them."""

from support.homes import ragged_home, span_home
from support.sorted_teachers import sorted_ragged, sorted_span

__all__ = ["ragged_home", "sorted_ragged", "sorted_span", "span_home"]
