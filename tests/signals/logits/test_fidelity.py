"""The losses on sparse distributions, held against float64 formulas and against the KL of the whole distribution."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from miniend.signals.logits.code import ENTROPY_STEP, LogitCode
from miniend.signals.logits.fidelity import coarsened_kl, gradient_agreement, logit_facts, sparse_kl

STEP = 1 / 32
ROWS = 60
KINDS = {
    "top-k": {"kind": "top-k", "k": 8, "draws": 0},
    "sampled": {"kind": "sampled", "k": 0, "draws": 20},
    "hybrid": {"kind": "hybrid", "k": 20, "draws": 20},
}
EACH = pytest.mark.parametrize("name", KINDS)
REPEATS = 10_000


def normal(positions=30, seed=0, scale=3.0):
    return scale * torch.randn(positions, ROWS, generator=torch.Generator().manual_seed(seed))


def cached(log_p, kind="top-k", k=8, draws=0, step=STEP):
    order = torch.randperm(log_p.shape[1], generator=torch.Generator().manual_seed(1))
    code = LogitCode(kind=kind, k=k, top_p=1.0, draws=draws, step=step, vocab_rows=log_p.shape[1], order=order)
    numbers = torch.rand(len(log_p), generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    return code.decode(code.encode(log_p, numbers))


def naive(student, target):
    """Losses [positions] and their gradient [positions, vocabulary], float64, one position and entry after the other."""
    losses, gradients = [], []
    for position, logits in enumerate(student.double()):
        log_q = logits - torch.logsumexp(logits, 0)
        q = log_q.exp()
        at, drawn = target.head_position == position, target.draw_position == position
        head = list(zip(target.head_ids[at].tolist(), target.head_log_p[at].double().tolist(), strict=True))
        draws = list(zip(target.draw_ids[drawn].tolist(), target.draw_weight[drawn].double().tolist(), strict=True))
        loss = sum(math.exp(log_p) * (log_p - float(log_q[v])) for v, log_p in head)
        kept = {v for v, _ in head}
        m = float(target.tail_mass[position])
        if target.one_tail:
            q_m = sum(float(q[v]) for v in range(len(q)) if v not in kept)
            loss += m * math.log(m / q_m) if m else 0.0
            gradient = q * (1 - m / q_m) if q_m else q.clone()
            for v, log_p in head:
                gradient[v] = q[v] - math.exp(log_p)
        else:
            loss -= float(target.tail_entropy[position]) + sum(w * float(log_q[v]) for v, w in draws)
            gradient = q * (sum(math.exp(log_p) for _, log_p in head) + sum(w for _, w in draws))
            for v, w in [*((v, math.exp(log_p)) for v, log_p in head), *draws]:
                gradient[v] -= w
        losses.append(loss)
        gradients.append(gradient)
    return torch.tensor(losses, dtype=torch.float64), torch.stack(gradients)


def losses_and_gradients(student, target):
    student = student.clone().requires_grad_()
    kl = sparse_kl(student, target)
    kl.sum().backward()
    return kl.detach(), student.grad


CASES = {**KINDS, "top-1": KINDS["top-k"] | {"k": 1}, "everything": KINDS["top-k"] | {"k": ROWS}}


@pytest.mark.parametrize("scale", [1.0, 3.0, 9.0])
@pytest.mark.parametrize("name", CASES)
def test_losses_and_gradients_are_those_of_the_formulas(name, scale):
    """The loss of every objective with logits; flat and confident positions, with long and empty lists."""
    target = cached(normal(scale=scale).log_softmax(-1), **CASES[name])
    student = normal(seed=1)
    found, gradient = losses_and_gradients(student, target)
    loss, expected = naive(student, target)
    assert found.dtype == torch.float32
    assert torch.allclose(found.double(), loss, rtol=1e-4, atol=1e-5)
    assert torch.allclose(gradient.double(), expected, atol=2e-5)


def repeated(scale, **settings):
    """One position encoded REPEATS times, at a step that leaves no error but the draws'; its p, and a student's logits."""
    log_p = normal(1, seed=3, scale=scale).log_softmax(-1)
    student = normal(1, seed=4, scale=1.0)
    target = cached(log_p.expand(REPEATS, -1), step=1e-4, **settings)
    return log_p[0].double(), student.expand(REPEATS, -1), target


def distance(samples, expected):
    """By how many standard errors the mean of samples [REPEATS, ...] is off, at worst; float32 is not held against it."""
    error = samples.double().std(0) / math.sqrt(REPEATS)
    return float(((samples.double().mean(0) - expected).abs() / (error + 5e-5)).max())


@pytest.mark.parametrize("name", ["sampled", "hybrid"])
@pytest.mark.parametrize("scale", [1.0, 3.0, 7.0])
def test_the_mean_gradient_is_that_of_the_whole_distribution(name, scale):
    """Unbiased is the whole claim: training averages the draws away, but never a bias."""
    log_p, student, target = repeated(scale, **KINDS[name])
    _, gradients = losses_and_gradients(student, target)
    assert distance(gradients, student[0].double().softmax(-1) - log_p.exp()) < 4


@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_the_same_comparison_finds_the_bias_of_a_renormalized_top_k(scale):
    """A comparison that the usual mistake passes proves nothing."""
    log_p, student, target = repeated(scale, **KINDS["top-k"])
    kept = torch.zeros(REPEATS).index_add(0, target.head_position, target.head_log_p.exp())
    alone = target.head_log_p - kept.log()[target.head_position]
    renormalized = replace(target, head_log_p=alone, tail_mass=torch.zeros(REPEATS))
    _, gradients = losses_and_gradients(student, renormalized)
    assert distance(gradients, student[0].double().softmax(-1) - log_p.exp()) > 100


@pytest.mark.parametrize("name", ["sampled", "hybrid"])
@pytest.mark.parametrize("scale", [1.0, 3.0, 7.0])
def test_the_mean_of_the_logged_loss_is_the_whole_kl(name, scale):
    """Losses of different kinds, and of other people, can then be compared."""
    log_p, student, target = repeated(scale, **KINDS[name])
    log_q = student[0].double().log_softmax(-1)
    whole = float((log_p.exp() * (log_p - log_q)).sum())
    head = target.head_ids[target.head_position == 0]
    tail = torch.ones(ROWS, dtype=torch.bool).index_fill(0, head, False)
    entropy = float(-(log_p[tail].exp() * log_p[tail]).sum())
    assert float(target.tail_entropy[0]) == pytest.approx(entropy, abs=ENTROPY_STEP / 2 + 1e-4)
    exact = replace(target, tail_entropy=torch.full((REPEATS,), entropy))
    assert distance(sparse_kl(student, exact)[:, None], whole) < 4


def test_over_the_whole_vocabulary_it_is_the_full_kl():
    """The coarsening must have no term of its own left."""
    p, q = normal().log_softmax(-1), normal(seed=1)
    full = (p.double().exp() * (p.double() - q.double().log_softmax(-1))).sum(-1)
    assert torch.allclose(sparse_kl(q, cached(p, k=ROWS, step=1e-4)).double(), full, rtol=1e-3)


@given(seed=st.integers(0, 10_000), k=st.integers(1, ROWS), scale=st.floats(0.0, 6.0))
def test_coarsening_is_a_lower_bound_and_never_negative(seed, k, scale):
    """A negative loss would reward the student for moving away."""
    p, student = normal(4, seed=seed, scale=scale).log_softmax(-1), normal(4, seed=seed + 1)
    kl = sparse_kl(student, cached(p, k=k))
    full = (p.double().exp() * (p.double() - student.double().log_softmax(-1))).sum(-1)
    assert float(kl.min()) >= -1e-5
    assert (kl.double() <= full + 2 * STEP * (1 + full)).all()


@pytest.mark.parametrize("k", [1, 8, ROWS])
def test_it_is_zero_for_a_student_that_has_the_stored_distribution(k):
    """Otherwise the optimum lies elsewhere than at the teacher."""
    target = cached(normal().log_softmax(-1), k=k)
    student = (target.tail_mass / max(1, ROWS - k)).log()[:, None].expand(-1, ROWS)
    student = student.index_put((target.head_position, target.head_ids), target.head_log_p)
    kl, gradient = losses_and_gradients(student, target)
    assert float(kl.abs().max()) < 1e-5
    assert float(gradient.abs().max()) < 1e-5


CONFIDENT = torch.zeros(1, ROWS).index_fill(1, torch.tensor([5]), 40.0).log_softmax(-1)


@pytest.mark.parametrize("name", CASES)
def test_a_position_without_tail_has_a_finite_gradient(name):
    """0 log 0 inside `where` gives NaN gradients for the whole batch."""
    target = cached(CONFIDENT.expand(3, -1), **CASES[name])
    for student in (normal(3), CONFIDENT.expand(3, -1), -3 * CONFIDENT.expand(3, -1)):
        for tail in (target.tail_mass, torch.zeros(3)):
            kl, gradient = losses_and_gradients(student, replace(target, tail_mass=tail))
            assert torch.isfinite(kl).all()
            assert torch.isfinite(gradient).all()


def test_empty_heads_and_positions_without_draws_stand_beside_others():
    """Sums that skip a position shift all that follow it."""
    flat = torch.zeros(1, ROWS).log_softmax(-1)
    log_p = torch.cat([CONFIDENT, flat, CONFIDENT, normal(1).log_softmax(-1), flat, CONFIDENT])
    target = cached(log_p, **KINDS["hybrid"])
    assert torch.bincount(target.head_position, minlength=6).tolist()[:3] == [1, 0, 1]
    assert torch.bincount(target.draw_position, minlength=6).tolist()[:3] == [0, 20, 0]
    student = normal(6, seed=1)
    found, gradient = losses_and_gradients(student, target)
    loss, expected = naive(student, target)
    assert torch.allclose(found.double(), loss, rtol=1e-4, atol=1e-5)
    assert torch.allclose(gradient.double(), expected, atol=1e-5)


def test_losses_are_float32_for_a_student_in_bfloat16():
    """Eight bits of mantissa make a KL of 1e-3 nothing."""
    target = cached(normal().log_softmax(-1), **KINDS["hybrid"])
    low = normal(seed=1).bfloat16()
    assert torch.equal(sparse_kl(low, target), sparse_kl(low.float(), target))


@EACH
def test_what_rounding_costs_is_the_kl_of_head_and_tail(name):
    """The number that `inspect` prints as the fidelity of logits."""
    log_p = normal().log_softmax(-1)
    target = cached(log_p, **KINDS[name])
    expected = []
    for position, exact in enumerate(log_p.double()):
        at = target.head_position == position
        p, stored = exact[target.head_ids[at]], target.head_log_p[at].double()
        m, m_stored = 1 - p.exp().sum(), target.tail_mass[position].double()
        expected.append(float((p.exp() * (p - stored)).sum() + m * (m / m_stored).log()))
    found = coarsened_kl(log_p, target).tolist()
    assert found == pytest.approx(expected, abs=1e-6)
    assert (max(expected) == 0) == (name == "sampled")
    assert max(expected) < STEP**2


@pytest.mark.parametrize("name", CASES)
def test_the_measured_gradients_are_those_of_the_loss(name):
    """`inspect` reports an angle between gradients; one written down wrongly would still look like an angle."""
    scales = torch.linspace(0.5, 12.0, 30)[:, None]
    log_p = (scales * normal(scale=1.0)).log_softmax(-1)
    reference = normal(1, seed=9, scale=1.0)[0].softmax(-1)
    target = cached(log_p, **CASES[name])
    _, taught = losses_and_gradients(reference.log().expand_as(log_p), target)
    exact = reference.double() - log_p.double().exp()
    found = gradient_agreement(log_p, target, reference)
    assert {part.count for part in found.values()} == {30}
    assert found["gradient_dot"].total == pytest.approx(float((exact * taught.double()).sum()), rel=1e-4)
    assert found["gradient_square"].total == pytest.approx(float(exact.square().sum()), rel=1e-4)
    assert found["cached_square"].total == pytest.approx(float(taught.double().square().sum()), rel=1e-4)


def test_the_facts_of_a_cache_are_derived_from_the_measured_means():
    """Degrees, not radians; cached over exact, not the other way round; kept, not lost."""
    means = {"kl": 2e-4, "tail_mass": 0.1, "entries": 15.5}
    means |= {"gradient_dot": 1.0, "gradient_square": 1.0, "cached_square": 4.0}
    assert logit_facts(means) == pytest.approx(
        {"kl": 2e-4, "kept_mass": 0.9, "entries": 15.5, "gradient_angle": 60.0, "gradient_norm_ratio": 2.0}
    )
    rounded = logit_facts(means | {"gradient_dot": 2.0000001})
    assert rounded["gradient_angle"] == 0.0
    nothing = logit_facts({"kl": 0.0, "tail_mass": 0.0, "entries": 1.0})
    assert nothing["gradient_angle"] is nothing["gradient_norm_ratio"] is None
