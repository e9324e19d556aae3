"""Padding of ragged ids."""

import numpy as np
import pytest
import torch

from miniend.models.families import FAMILIES, IGNORED
from miniend.models.padding import by_axis, pad_examples

EXAMPLES = [(np.array([5, 0, 7]), np.array([1])), (np.array([8]), np.array([2, 0, 3, 4]))]
"""Inputs and targets."""


@pytest.mark.parametrize("family", [one for one in FAMILIES.values() if one.predicts], ids=lambda family: family.name)
def test_every_token_stays_in_its_place_and_padding_is_marked_on_both_axes(family):
    """A mask derived from the pad id would hide a real token that has it; lengths decide."""
    ids, valid = pad_examples(family, by_axis(family, EXAMPLES), pad_id=0)
    assert ids["input"].tolist() == [[5, 0, 7], [8, 0, 0]]
    assert ids["target"].tolist() == [[1, IGNORED, IGNORED, IGNORED], [2, 0, 3, 4]]
    assert valid["input"].tolist() == [[True, True, True], [True, False, False]]
    assert valid["target"].tolist() == [[True, False, False, False], [True] * 4]
    assert ids["input"].dtype == ids["target"].dtype == torch.int64
