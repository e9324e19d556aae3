"""Padding ragged token ids to a batch, the same way for the teacher and for the student.

In numpy until the end: a loader does this in a thread, where torch would start OpenMP threads that get in the step's way.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from .families import IGNORED, Family

Rows = Sequence[np.ndarray]


def pad_examples(family: Family, rows: Mapping[str, Rows], pad_id: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Token ids int64 [B, length] and the boolean masks of valid tokens, both by axis.

    The labels' axis is padded with -100, which torch and transformers ignore, the others with `pad_id`.
    """
    ids = {axis: _pad(own, IGNORED if axis == family.label_axis else pad_id) for axis, own in rows.items()}
    valid = {axis: _pad([np.ones(len(row)) for row in own], 0) > 0 for axis, own in rows.items()}
    return (
        {axis: torch.from_numpy(padded) for axis, padded in ids.items()},
        {axis: torch.from_numpy(mask) for axis, mask in valid.items()},
    )


def by_axis(family: Family, examples: Sequence[Sequence[np.ndarray]]) -> dict[str, Rows]:
    """Examples, each a tuple of ids in the order of the family's axes, as rows by axis."""
    return {axis: [example[place] for example in examples] for place, axis in enumerate(family.axes)}


def _pad(rows: Rows, value: int) -> np.ndarray:
    padded = np.full((len(rows), max(len(row) for row in rows)), value, dtype=np.int64)
    for place, row in enumerate(rows):
        padded[place, : len(row)] = row
    return padded
