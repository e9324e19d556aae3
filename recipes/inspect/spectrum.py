"""The bits of each component of a site's code: they show where reverse water-filling drops components (see `signals/codes`)."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...cache import Cache, Shard

SPECTRUM_TOKENS = 32_768
"""The number of tokens to read per code. The entropy of a coefficient with 100 different values is then right to 0.003 bits."""

Floats = np.ndarray[Any, np.dtype[np.float64]]
Integers = np.ndarray[Any, np.dtype[Any]]


def spectrum(cache: Cache) -> dict[str, dict[str, list[float]]]:
    """Return the bits per coefficient by site, code place and component, strongest first: the entropy of the stored integers.

    The sum over the components is the bits per token of an ideal coder that codes each component by itself. Reads the first
    shards, up to SPECTRUM_TOKENS tokens. Raises CacheDamagedError if their files are not the published ones.
    """
    shards = cache.training.shards or cache.shards
    return {
        name: {place.name: _bits(shards, column, place.axis) for column, place in codec.columns.items()}
        for name, codec in cache.codecs.items()
    }


def _bits(shards: Sequence[Shard], column: str, axis: str) -> list[float]:
    parts: list[Integers] = []
    wanted = SPECTRUM_TOKENS
    for shard in shards:
        taken = min(wanted, shard.tokens[axis])
        parts.append(shard.folder.slice(column, 0, taken))
        wanted -= taken
        if not wanted:
            break
    return [entropy_bits(row) for row in np.concatenate(parts, axis=1)]


def entropy_bits(values: Integers) -> float:
    """Return the entropy of the empirical distribution of integers, in bits; 0 for no integers."""
    counts = np.unique(values, return_counts=True)[1].astype(np.float64)
    shares: Floats = counts / max(1.0, counts.sum())
    return float(-(shares * np.log2(shares)).sum()) + 0.0
