"""An opened cache: its examples, decoded, and the checks that join storage with signals."""

from .cache import Cache, Part, Shard, Split, open_cache

__all__ = ["Cache", "Part", "Shard", "Split", "open_cache"]
