"""Order the examples so that a batch holds examples of similar length, with little padding.

Trainer's own grouping sorts 50 batches and visits them from long to short, so on small tasks the last steps see only short
examples. Here the batches of a window come in random order.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..protocols.protocol import Feature

WINDOW = 16
"""The number of batches that are sorted together."""


def by_length(lengths: Sequence[int], epochs: int, batch_size: int, seed: int) -> list[int]:
    """Return the numbers of the examples, each `epochs` times, in an order that is cut into batches; a function of the seed.

    Each epoch is a permutation. Windows of it are sorted and cut into batches, and these are shuffled. The rest of an epoch that
    does not fill a batch is random, not chosen by length. It starts the next epoch, or ends the last one.
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
    """Return the rows of `predict` in the order of the features, although it gets the longest features first."""
    order = sorted(range(len(features)), key=lambda i: -len(features[i]["input_ids"]))
    predicted = np.asarray(predict([features[i] for i in order]))
    rows = np.empty_like(predicted)
    rows[order] = predicted
    return rows
