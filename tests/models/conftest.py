"""Tiny caches for the tests of models that are in training."""

from support.homes import ragged_home, span_home, umt5_home

__all__ = ["ragged_home", "span_home", "umt5_home"]
