"""The statistics of a teacher's tensor: mean, centred energy, principal directions, whatever the order of batches."""

import pytest
import torch

from miniend.signals.matching.row_norms import NORMS
from miniend.signals.matching.target_statistics import Target, TargetStatistics

WIDTH = 6


def rows(tokens=400, seed=0):
    generator = torch.Generator().manual_seed(seed)
    spread = torch.tensor([5.0, 3.0, 1.0, 0.5, 0.2, 0.1])
    return torch.randn(tokens, WIDTH, generator=generator) * spread + torch.tensor([40.0, 0, 0, 0, 0, 0])


def measured(parts, **settings):
    found = TargetStatistics(
        Target("encoder.hidden@0", "hidden", directions=True, **settings), WIDTH, torch.device("cpu")
    )
    for part in parts:
        found.add(part)
    return found


@pytest.mark.parametrize("norm", ["none", "rms"])
def test_mean_energy_and_directions_are_numpy_s(norm):
    """An energy that is not centred is up to twice as large, and every part of the loss half of what it says."""
    found = measured(rows().split(7), norm=norm)
    y = NORMS[norm].of(rows().double())
    torch.testing.assert_close(found.mean, y.mean(0), rtol=1e-12, atol=1e-12)
    assert found.energy == pytest.approx(float((y - y.mean(0)).square().sum(1).mean()), rel=1e-10)
    values, vectors = found.principal
    covariance = torch.cov(y.T, correction=0)
    torch.testing.assert_close(vectors * values @ vectors.T, covariance, rtol=1e-9, atol=1e-11)
    assert values.tolist() == sorted(values.tolist(), reverse=True)
    assert float(values.sum()) == pytest.approx(found.energy, rel=1e-10)


def test_the_shrinkage_is_what_normalisation_makes_of_a_small_error():
    """The noise of a code is known in raw units only."""
    raw, noise = rows().double(), 1e-4 * torch.randn(400, WIDTH, generator=torch.Generator().manual_seed(1)).double()
    noise -= raw * (raw * noise).sum(1, keepdim=True) / raw.square().sum(1, keepdim=True)  # what is not along the row
    shrunk = (NORMS["rms"].of(raw + noise) - NORMS["rms"].of(raw)).square().sum()
    found = measured([raw], norm="rms")
    assert float(shrunk) == pytest.approx(found.shrinkage * float(noise.square().sum()), rel=0.05)
    assert measured([raw], norm="none").shrinkage == 1.0
