"""Pad ragged token ids to a batch, in the same way for teacher and student.

We use numpy until the end: a loader pads in a thread, where torch would start OpenMP threads that slow the step down.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from .families import IGNORED, Family

Rows = Sequence[np.ndarray]


def pad_examples(family: Family, rows: Mapping[str, Rows], pad_id: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return token ids, int64 [B, length], and the masks of valid tokens, boolean [B, length], both by axis.

    The labels' axis is padded with -100, which torch and transformers ignore, the other axes with `pad_id`.
    """
    ids = {axis: _pad(own, IGNORED if axis == family.label_axis else pad_id) for axis, own in rows.items()}
    valid = {axis: _pad([np.ones(len(row)) for row in own], 0) > 0 for axis, own in rows.items()}
    return (
        {axis: torch.from_numpy(padded) for axis, padded in ids.items()},
        {axis: torch.from_numpy(mask) for axis, mask in valid.items()},
    )


def by_axis(family: Family, examples: Sequence[Sequence[np.ndarray]]) -> dict[str, Rows]:
    """Return examples as rows by axis; each example is a tuple of ids in the order of the family's axes."""
    return {axis: [example[place] for example in examples] for place, axis in enumerate(family.axes)}


def _pad(rows: Rows, value: int) -> np.ndarray:
    padded = np.full((len(rows), max(len(row) for row in rows)), value, dtype=np.int64)
    for place, row in enumerate(rows):
        padded[place, : len(row)] = row
    return padded
