"""Tiny caches whose teachers are sorted."""

from support.homes import ragged_home, span_home, umt5_home

__all__ = ["ragged_home", "span_home", "umt5_home"]
