"""Padding ragged token ids to a batch, the same way for the teacher and for the student."""

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
    lengths = torch.tensor([len(row) for row in inputs])
    input_valid = torch.arange(input_ids.shape[1])[None, :] < lengths[:, None]
    return input_ids, labels, {"input": input_valid, "target": labels != IGNORED}


def _pad(rows: Sequence[np.ndarray], value: int) -> Tensor:
    padded = np.full((len(rows), max(len(row) for row in rows)), value, dtype=np.int64)
    for place, row in enumerate(rows):
        padded[place, : len(row)] = row
    return torch.from_numpy(padded)
