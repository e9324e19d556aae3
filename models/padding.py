"""Padding ragged token ids to a batch, the same way for the teacher and for the student.

In numpy until the end: a loader does this in a thread, where torch would start OpenMP threads that get in the step's way.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

IGNORED = -100
"""Label of a padded target position: torch's and transformers' own convention."""


def pad_examples(
    inputs: Sequence[np.ndarray], targets: Sequence[np.ndarray], pad_id: int
) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """int64 input_ids [B, n] and labels [B, m], and the boolean masks of valid tokens by axis, `input` and `target`."""
    input_ids, labels = _pad(inputs, pad_id), _pad(targets, IGNORED)
    valid = {"input": _pad([np.ones(len(row)) for row in inputs], 0) > 0, "target": labels != IGNORED}
    tensors = {axis: torch.from_numpy(mask) for axis, mask in valid.items()}
    return torch.from_numpy(input_ids), torch.from_numpy(labels), tensors


def _pad(rows: Sequence[np.ndarray], value: int) -> np.ndarray:
    padded = np.full((len(rows), max(len(row) for row in rows)), value, dtype=np.int64)
    for place, row in enumerate(rows):
        padded[place, : len(row)] = row
    return padded
