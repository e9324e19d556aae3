"""Batches of chosen examples, and comparing batches."""

from dataclasses import fields

import numpy as np
import torch

from miniend.signals.logits.code import LogitIntegers


def batch_of(source, numbers):
    """The batch of the examples with these numbers in their split, in this order."""
    numbers = np.asarray(numbers)
    shards = np.searchsorted(source.starts, numbers, side="right") - 1
    places = numbers - source.starts[shards]
    return source.batch(numbers, [source.read(int(s), np.array([p]))[0] for s, p in zip(shards, places, strict=True)])


def logit_tensors(logits):
    """The tensors of stored distributions."""
    return [getattr(logits, field.name) for field in fields(LogitIntegers)]


def same(one, other):
    """Whether two batches hold the same integers of the same types."""
    tensors = [
        [*b.ids.values(), *logit_tensors(b.logits), *b.valid.values(), *b.coefficients.values()] for b in (one, other)
    ]
    equal = all(a.dtype == b.dtype and torch.equal(a, b) for a, b in zip(*tensors, strict=True))
    return equal and one.ids.keys() == other.ids.keys() and one.examples == other.examples
