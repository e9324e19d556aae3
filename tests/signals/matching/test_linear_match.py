"""The matching of states: value and gradients in blocks, against plain torch in float64."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis.strategies import booleans, integers, sampled_from

from miniend.signals.matching import linear_match
from miniend.signals.matching.linear_match import Comparison, match_sum
from miniend.signals.matching.row_norms import NORMS

BATCH, LENGTH, OWN, OTHER = 3, 5, 8, 12


def naive(ours, weight, bias, theirs, valid, norm, metric):
    """The sum from its definition, which keeps every tensor whole."""

    def normed(rows):
        return rows / (rows.square().mean(-1, keepdim=True) + 1e-6).sqrt() if norm == "rms" else rows

    x, y = normed(ours)[valid], normed(theirs)[valid]
    if weight is not None and weight.ndim == 3:
        weight = torch.block_diag(*weight)
    p = x if weight is None else x @ weight.T + bias
    error = p - y
    matrix = metric if metric.ndim else metric * torch.eye(y.shape[-1], dtype=y.dtype)
    return torch.einsum("ni,ij,nj->", error, matrix, error)


def case(seed, blocks=1, identity=False, matrix=False, dtype=torch.float64):
    """Random states, some tokens of them padding, with a map and a metric."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)

    other = OWN if identity else OTHER
    ours, theirs = 3 * normal(BATCH, LENGTH, OWN), 5 * normal(BATCH, LENGTH, other) + 1
    shape = (other, OWN) if blocks == 1 else (blocks, other // blocks, OWN // blocks)
    weight, bias = (None, None) if identity else (normal(*shape), normal(other))
    root = normal(other, other)
    metric = root @ root.T if matrix else torch.tensor(0.37, dtype=dtype)
    valid = torch.rand(BATCH, LENGTH, generator=generator) < 0.7
    valid[0, 0] = True
    leaves = [one.requires_grad_() for one in (ours, weight, bias) if one is not None]
    return ours, weight, bias, theirs, valid, metric, leaves


def swept(ours, weight, bias, theirs, valid, norm, metric):
    rows = valid.flatten().nonzero().squeeze(1)
    return match_sum(
        ours,
        weight,
        bias,
        Comparison(theirs=theirs, rows=rows, norm=NORMS[norm], their_norm=NORMS[norm], metric=metric),
    )


@settings(max_examples=40, deadline=None)
@given(integers(0, 999), sampled_from([1, 2, 4]), booleans(), booleans(), sampled_from(["rms", "none"]))
def test_value_and_gradients_are_plain_torch_s(seed, blocks, identity, matrix, norm):
    """A gradient that is a little wrong trains a student that is a little worse, and nothing says so."""
    ours, weight, bias, theirs, valid, metric, leaves = case(seed, blocks, identity, matrix)
    arguments = (ours, weight, bias, theirs, valid, norm, metric)
    value, expected = swept(*arguments), naive(*arguments)
    torch.testing.assert_close(value, expected, rtol=1e-10, atol=1e-10)
    found = torch.autograd.grad(3 * value, leaves)
    wanted = torch.autograd.grad(3 * expected, leaves)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("norm", ["rms", "none"])
def test_any_size_of_a_block_gives_the_same(monkeypatch, norm):
    """The last block is a short one, and a block of one token is a block."""
    ours, weight, bias, theirs, valid, metric, leaves = case(1)
    results = []
    for size in (1, 4, 4096):
        monkeypatch.setitem(linear_match.BLOCK_ROWS, "cpu", size)
        value = swept(ours, weight, bias, theirs, valid, norm, metric)
        results.append([value, *torch.autograd.grad(value, leaves)])
    for others in results[1:]:
        for one, other in zip(results[0], others, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def test_half_precision_is_computed_in_float32_and_its_gradient_comes_back_as_it_came():
    """Under autocast Q, K and V are bfloat16; squares of them would lose three digits."""
    ours, weight, bias, theirs, valid, metric, _ = case(2, dtype=torch.float32)
    half = ours.detach().bfloat16().requires_grad_()
    value = swept(half, weight, bias, theirs, valid, "rms", metric)
    assert value.dtype == torch.float32
    exact = naive(*(one.detach().double() for one in (half, weight, bias, theirs)), valid, "rms", metric.double())
    assert value.item() == pytest.approx(exact.item(), rel=1e-5)
    d_half, d_weight = torch.autograd.grad(value, [half, weight])
    assert (d_half.dtype, d_weight.dtype) == (torch.bfloat16, torch.float32)


def test_padding_gets_no_gradient_and_changes_nothing():
    """What stands where a batch is padded depends on the other examples."""
    ours, weight, bias, theirs, valid, metric, _ = case(3)
    value = swept(ours, weight, bias, theirs, valid, "rms", metric)
    (gradient,) = torch.autograd.grad(value, [ours])
    assert not gradient[~valid].any()
    assert gradient[valid].abs().sum(-1).gt(0).all()
    with torch.no_grad():
        ours[~valid], theirs[~valid] = 1e6, -1e6
    assert torch.equal(swept(ours, weight, bias, theirs, valid, "rms", metric), value)


def test_nothing_is_kept_without_gradients_and_a_second_backward_is_refused():
    """The gradients are handed over in their own memory; a second backward would multiply them again."""
    ours, weight, bias, theirs, valid, metric, _ = case(4)
    with torch.no_grad():
        assert not swept(ours, weight, bias, theirs, valid, "rms", metric).requires_grad
    value = swept(ours, weight, bias, theirs, valid, "rms", metric)
    value.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="handed over by the first backward"):
        value.backward()
