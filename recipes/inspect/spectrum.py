"""How many bits each component of a site's code takes: where reverse water-filling gives up (see `signals.basis`)."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...cache import Cache, Shard

SPECTRUM_TOKENS = 32_768
"""Tokens per code that are looked at: of a coefficient with 100 different values the entropy is then right to 0.003 bits."""

Floats = np.ndarray[Any, np.dtype[np.float64]]
Integers = np.ndarray[Any, np.dtype[Any]]


def spectrum(cache: Cache) -> dict[str, dict[str, list[float]]]:
    """Bits per coefficient by site, place and component, strongest first, as the entropy of the stored integers.

    The sum over the components is what an ideal coder of each component by itself takes per token. Reads the first shards until
    SPECTRUM_TOKENS tokens are seen. Raises CacheDamagedError when their files are not the published ones.
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
    """Entropy of the empirical distribution of some integers, in bits; 0 of none."""
    counts = np.unique(values, return_counts=True)[1].astype(np.float64)
    shares: Floats = counts / max(1.0, counts.sum())
    return float(-(shares * np.log2(shares)).sum()) + 0.0
