"""The order in which examples are visited, such that a batch holds those of like length and little padding.

Trainer's own grouping sorts 50 batches from long to short and visits them so: on small tasks the last steps then see short
examples alone. Here the batches of a window come in random order.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..protocols.protocol import Feature

WINDOW = 16
"""Batches that are sorted together."""


def by_length(lengths: Sequence[int], epochs: int, batch_size: int, seed: int) -> list[int]:
    """Numbers of examples, every one `epochs` times, to be cut into batches as they stand; a function of the seed.

    Each epoch is a permutation; windows of it are sorted, cut into batches and these shuffled. What an epoch has beyond whole
    batches is drawn, not chosen by length, and begins the next one, or ends the last.
    """
    generator = np.random.default_rng(seed)
    order: list[int] = []
    rest: list[int] = []
    for _ in range(epochs):
        visits = [*rest, *generator.permutation(len(lengths)).tolist()]
        whole = len(visits) - len(visits) % batch_size
        for start in range(0, whole, WINDOW * batch_size):
            window = sorted(visits[start : min(start + WINDOW * batch_size, whole)], key=lambda i: lengths[i])
            for number in generator.permutation(len(window) // batch_size):
                order += window[number * batch_size : (number + 1) * batch_size]
        rest = visits[whole:]
    return [*order, *rest]


def longest_first(features: Sequence[Feature], predict: Callable[[list[Feature]], Any]) -> Any:
    """Rows that `predict` has for features in the order of their length, put back into the features' own order."""
    order = sorted(range(len(features)), key=lambda i: -len(features[i]["input_ids"]))
    found = np.asarray(predict([features[i] for i in order]))
    rows = np.empty_like(found)
    rows[order] = found
    return rows
