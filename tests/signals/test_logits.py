"""Top-k distributions: what is stored sums to one, decodes within its step, and gives the KL and gradient of the formula."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from miniend.signals.logits import coarsened_kl, decode_top_k, encode_top_k, tail_mass, top_k_kl

STEP = 1 / 32


def teacher_logits(positions=40, rows=50, scale=3.0, seed=0):
    return scale * torch.randn(positions, rows, generator=torch.Generator().manual_seed(seed))


def cached(logits, k, allowed=None, step=STEP):
    ids, levels = encode_top_k(logits, k, allowed or logits.shape[-1], step)
    return ids, decode_top_k(levels, step, logits.shape[-1])


def naive_kl(student, ids, log_p):
    """Sum over kept entries and tail, one position after the other, float64."""
    found = []
    for logits, kept, log_kept in zip(student.double().numpy(), ids.numpy(), log_p.double().numpy(), strict=True):
        q = np.exp(logits - logits.max())
        q /= q.sum()
        p = np.exp(log_kept)
        kl = float((p * (log_kept - np.log(q[kept]))).sum())
        m = 1 - p.sum()
        others = np.delete(q, kept).sum()
        found.append(kl + (m * math.log(m / others) if len(kept) < len(q) and m > 0 else 0.0))
    return np.array(found)


@pytest.mark.parametrize("k", [1, 2, 8, 49])
@pytest.mark.parametrize("scale", [0.0, 1.0, 4.0])
def test_kept_entries_and_tail_are_the_teachers_within_a_step(k, scale):
    """Probabilities renormalised over the kept ones are biased, and look just as well."""
    logits = teacher_logits(scale=scale)
    ids, log_p = cached(logits, k)
    exact = logits.double().log_softmax(-1)
    kept = exact.gather(-1, ids.long())
    assert float((log_p - kept).abs().max()) <= STEP
    tail = 1 - kept.exp().sum(-1)
    assert torch.allclose(tail_mass(log_p).double(), tail, rtol=2 * STEP, atol=1e-6)
    assert torch.equal(ids.long(), exact.float().topk(k).indices)
    assert float((log_p.exp().sum(-1) + tail_mass(log_p) - 1).abs().max()) < 1e-6


def test_the_whole_vocabulary_leaves_no_tail():
    """A tail of rounding errors would pull the student's mass to where there is none."""
    logits = teacher_logits()
    _, log_p = cached(logits, 1000)
    assert log_p.shape == (40, 50)
    assert float((log_p.exp().sum(-1) - 1).abs().max()) < 1e-5


@pytest.mark.parametrize("tail", [1e-2, 1e-3, 1e-4, 1e-5, 1e-6])
@pytest.mark.parametrize("k", [1, 4])
def test_a_confident_head_keeps_its_small_tail(tail, k):
    """1 minus rounded probabilities is rounding noise; the student would be taught a tail a thousand times off."""
    p = torch.full((1, 50), tail / (50 - k), dtype=torch.float64)
    p[0, :k] = (
        (1 - tail) * torch.tensor([0.97, 0.02, 0.009, 0.001])[:k] / torch.tensor([0.97, 0.02, 0.009, 0.001])[:k].sum()
    )
    _, log_p = cached(p.log().float(), k)
    assert math.log(float(tail_mass(log_p)) / tail) == pytest.approx(0, abs=STEP + 0.12 * (tail < 5e-6))


def test_ids_are_never_at_or_above_the_tokenizers_length():
    """T5's head has 28 rows that no tokenizer names; a student must not be taught to say them."""
    logits = teacher_logits(rows=50)
    logits[:, 44:] += 12.0
    ids, log_p = cached(logits, 64, allowed=44)
    assert ids.shape == (40, 44)
    assert int(ids.max()) < 44
    exact = logits.double().log_softmax(-1)
    assert torch.allclose(tail_mass(log_p).double(), exact[:, 44:].exp().sum(-1), rtol=STEP)
    assert float((log_p - exact.gather(-1, ids.long())).abs().max()) <= STEP


def test_levels_are_small_and_only_the_first_may_be_negative():
    """The codec and the narrowing to 16 bits count on it."""
    _, levels = encode_top_k(teacher_logits(scale=6.0), 16, 50, STEP)
    assert levels.dtype == torch.int32
    assert int(levels[:, 1:].min()) >= 0
    flat = encode_top_k(torch.zeros(1, 50), 2, 50, STEP)[1]
    assert int(flat[0, 0]) < 0


def test_a_finer_step_gives_a_finer_distribution():
    """A step that is ignored on one side would pass every loose comparison."""
    logits = teacher_logits()
    errors = [float(coarsened_kl(logits, *cached(logits, 8, step=step)).mean()) for step in (0.5, 0.1, 0.02)]
    assert errors[0] > 5 * errors[1] > 25 * errors[2] > 0


@pytest.mark.parametrize("k", [1, 8, 50])
def test_the_kl_is_that_of_the_formula(k):
    """The loss of every objective with logits."""
    logits, student = teacher_logits(), teacher_logits(seed=1)
    ids, log_p = cached(logits, k)
    assert top_k_kl(student, ids, log_p).double().numpy() == pytest.approx(
        naive_kl(student, ids, log_p), rel=1e-4, abs=1e-5
    )


def test_over_the_whole_vocabulary_it_is_the_full_kl():
    """The coarsening must have no term of its own left."""
    logits, student = teacher_logits(), teacher_logits(seed=1)
    p, q = logits.double().log_softmax(-1), student.double().log_softmax(-1)
    full = (p.exp() * (p - q)).sum(-1)
    assert torch.allclose(top_k_kl(student, *cached(logits, 50, step=1e-4)).double(), full, rtol=1e-3)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), k=st.integers(1, 50), scale=st.floats(0.0, 6.0))
def test_coarsening_is_a_lower_bound_and_never_negative(seed, k, scale):
    """A negative loss would reward the student for moving away."""
    logits, student = teacher_logits(4, scale=scale, seed=seed), teacher_logits(4, seed=seed + 1)
    kl = top_k_kl(student, *cached(logits, k))
    p, q = logits.double().log_softmax(-1), student.double().log_softmax(-1)
    full = (p.exp() * (p - q)).sum(-1)
    assert float(kl.min()) >= -1e-5
    assert (kl.double() <= full + 2 * STEP * (1 + full)).all()


@pytest.mark.parametrize("k", [1, 8, 50])
def test_it_is_zero_for_a_student_that_has_the_stored_distribution(k):
    """Otherwise the optimum lies elsewhere than at the teacher."""
    logits = teacher_logits()
    ids, log_p = cached(logits, k)
    student = (tail_mass(log_p) / max(1, 50 - k)).log()[:, None].expand(-1, 50).clone()
    student = student.scatter(-1, ids.long(), log_p).requires_grad_()
    kl = top_k_kl(student, ids, log_p)
    kl.sum().backward()
    assert float(kl.detach().abs().max()) < 1e-5
    assert float(student.grad.abs().max()) < 1e-5


@pytest.mark.parametrize("k", [1, 8, 50])
def test_the_gradient_is_that_of_the_formula(k):
    """q - p on the kept ids and q (1 - m / q_m) off them."""
    student = teacher_logits(seed=1).requires_grad_()
    ids, log_p = cached(teacher_logits(), k)
    top_k_kl(student, ids, log_p).sum().backward()
    q = student.detach().double().softmax(-1)
    m = tail_mass(log_p).double()[:, None] if k < 50 else torch.zeros(40, 1, dtype=torch.float64)
    off = q.scatter(-1, ids.long(), 0.0)
    expected = off * (1 - m / off.sum(-1, keepdim=True).clamp_min(1e-300))
    kept = q.gather(-1, ids.long()) - log_p.double().exp()
    expected = expected.scatter(-1, ids.long(), kept)
    assert torch.allclose(student.grad.double(), expected, atol=1e-5)


def test_a_position_without_tail_has_a_finite_gradient():
    """0 log 0 inside `where` gives NaN gradients for the whole batch."""
    student = teacher_logits(1, seed=1).requires_grad_()
    log_p = torch.tensor([[0.0, -80.0]])
    kl = top_k_kl(student, torch.tensor([[3, 5]]), log_p)
    kl.sum().backward()
    assert torch.isfinite(kl).all()
    assert torch.isfinite(student.grad).all()


def test_what_rounding_costs_is_the_kl_of_the_coarsening():
    """The number that `inspect` prints as the fidelity of logits."""
    logits = teacher_logits()
    ids, log_p = cached(logits, 8)
    p = logits.double().log_softmax(-1).gather(-1, ids.long())
    m, stored = 1 - p.exp().sum(-1), 1 - log_p.double().exp().sum(-1)
    expected = (p.exp() * (p - log_p)).sum(-1) + m * (m / stored).log()
    assert torch.allclose(coarsened_kl(logits, ids, log_p).double(), expected, atol=1e-6)
    assert float(expected.max()) < STEP**2
