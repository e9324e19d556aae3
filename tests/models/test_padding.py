"""Padding of ragged ids."""

import numpy as np
import torch

from miniend.models.padding import IGNORED, pad_examples


def test_every_token_stays_in_its_place_and_padding_is_marked_on_both_axes():
    """A mask derived from the pad id would hide a real token that has it; lengths decide."""
    inputs = [np.array([5, 0, 7]), np.array([8])]
    targets = [np.array([1]), np.array([2, 0, 3, 4])]
    ids, labels, valid = pad_examples(inputs, targets, pad_id=0)
    assert ids.tolist() == [[5, 0, 7], [8, 0, 0]]
    assert labels.tolist() == [[1, IGNORED, IGNORED, IGNORED], [2, 0, 3, 4]]
    assert valid["input"].tolist() == [[True, True, True], [True, False, False]]
    assert valid["target"].tolist() == [[True, False, False, False], [True] * 4]
    assert ids.dtype == labels.dtype == torch.int64
