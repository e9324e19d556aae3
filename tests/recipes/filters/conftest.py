"""The caches of tests/support/homes.py, for the tests of filters."""

from support.homes import layers_home, ragged_home

__all__ = ["layers_home", "ragged_home"]
