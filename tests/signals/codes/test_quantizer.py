"""The dead zone: fewer bits at equal error, bounded, and nothing where a component is strong."""

import numpy as np
import torch

from miniend.signals.codes.quantizer import LAGRANGE, dead_zone, quantize


def entropy(integers):
    """Empirical bits per integer."""
    counts = np.unique(integers.numpy(), return_counts=True)[1]
    p = counts / counts.sum()
    return float(-(p * np.log2(p)).sum())


def laplace(spread, count=200_000):
    generator = torch.Generator().manual_seed(0)
    u = torch.rand(count, 1, generator=generator, dtype=torch.float64) - 0.5
    return (-spread / 2**0.5 * u.sign() * torch.log1p(-2 * u.abs())).float()


def test_weak_components_cost_fewer_bits_at_equal_squared_error_than_plain_rounding():
    """Otherwise the dead zone is a larger step by another name."""
    for spread in (0.3, 0.6, 1.0):
        values, sigma = laplace(spread), torch.tensor([spread])
        integers = quantize(values, 1.0, sigma)
        error = float((values - integers).square().mean())
        steps = np.geomspace(0.8, 4.0, 60)
        plain = [((values / step).round(), step) for step in steps]
        equal = next(p for p in reversed(plain) if float((values - p[0] * p[1]).square().mean()) <= error)
        assert entropy(integers) < 0.97 * entropy(equal[0]), spread


def test_cost_in_error_and_bits_is_least_among_other_shifts_of_the_zero_threshold():
    """A sign error in the closed form would still shift thresholds, and pass for a dead zone."""
    values, sigma = laplace(0.5), torch.tensor([0.5])

    def cost(integers):
        return float((values - integers).square().mean()) + LAGRANGE * entropy(integers)

    zero, _ = dead_zone(sigma, 1.0)
    assert 0.05 < float(zero) < 0.5
    ours = cost(quantize(values, 1.0, sigma))
    assert ours < cost(values.round())
    assert ours < cost(torch.where(values.abs() < 1.2, 0.0, values.round()))


def test_nothing_is_off_by_more_than_a_step_and_signs_stay():
    """An unbounded dead zone would swallow the rare large value of a weak component, or one that the fit has not seen."""
    y = torch.linspace(-9, 9, 4001)[:, None]
    for spread in (0.0, 1e-12, 0.1, 1.0, 50.0):
        integers = quantize(0.7 * y, 0.7, torch.tensor([spread]))
        assert float((integers - y).abs().max()) <= 1.0 + 1e-4
        assert bool((integers * y >= 0).all())
        assert bool(integers.isfinite().all())


def test_a_strong_component_is_simply_rounded():
    """Its neighbouring integers cost the same bits, so any bias would be error for nothing."""
    zero, shift = dead_zone(torch.tensor([1e4]), 1.0)
    assert float(zero) < 0.01
    assert float(shift) < 0.01
