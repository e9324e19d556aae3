"""The losses in chunks, held against autograd through whole logits in float64 by the formulas' own words."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy

from miniend.signals.logits import head_loss
from miniend.signals.logits.code import LogitCode
from miniend.signals.logits.fidelity import sparse_kl, whole_kl
from miniend.signals.logits.head_loss import head_loss_sums
from miniend.signals.logits.states import StateDistributions
from miniend.signals.logits.targets import cached_target, label_target, sparse_target, value_and_gradient

ROWS, WIDTH, POSITIONS = 50, 12, 23
KINDS = {
    "top-k": {"kind": "top-k", "k": 6},
    "top-1": {"kind": "top-k", "k": 1},
    "everything": {"kind": "top-k", "k": ROWS},
    "top-p": {"kind": "top-k", "k": 20, "top_p": 0.9},
    "sampled": {"kind": "sampled", "draws": 15},
    "hybrid": {"kind": "hybrid", "k": 15, "draws": 15},
}
LOSSES = (*KINDS, "states", "labels")
ANY_TEMPERATURE = ("top-k", "states")


def normal(*shape, seed=0, scale=1.0):
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def decoded(name, positions=POSITIONS, temperature=1.0, seed=5):
    """Distributions of positions from flat to certain, so that some heads are empty and some positions have no draws."""
    log_p = (normal(positions, ROWS, seed=seed) * torch.linspace(0, 20, positions)[:, None]).log_softmax(-1)
    chosen = {"k": 0, "draws": 0, "top_p": 1.0, **KINDS[name]}
    order = torch.randperm(ROWS, generator=torch.Generator().manual_seed(1))
    others = () if temperature == 1.0 else (temperature,)
    code = LogitCode(**chosen, step=1 / 16, vocab_rows=ROWS, order=order, temperatures=others)
    uniforms = torch.rand(positions, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    return code.decode(code.encode(log_p, uniforms), temperature)


def states(positions=POSITIONS):
    """Distributions from flat to certain that a teacher's own head of width 5 makes of its states."""
    rows = normal(positions, 5, seed=9) * torch.linspace(0, 6, positions)[:, None]
    return StateDistributions(rows, normal(ROWS, 5, seed=10))


def some_labels(positions=POSITIONS):
    return torch.randint(ROWS, (positions,), generator=torch.Generator().manual_seed(3))


def target(name, positions=POSITIONS, temperature=1.0):
    if name == "labels":
        return label_target(some_labels(positions))
    if name == "states":
        return cached_target(states(positions), temperature)
    return cached_target(decoded(name, positions, temperature), temperature)


def exact_sum(name, logits, temperature=1.0):
    """One loss in float64 from whole logits [positions, ROWS], one position after the other."""
    if name == "labels":
        return cross_entropy(logits, some_labels(len(logits)), reduction="sum")
    if name == "states":
        whole = states(len(logits))
        log_p = (whole.rows.double() @ whole.weight.double().T / temperature).log_softmax(-1)
        return (log_p.exp() * (log_p - (logits / temperature).log_softmax(-1))).sum() * temperature**2
    cached, total = decoded(name, len(logits), temperature), logits.new_zeros(())
    for position, log_q in enumerate((logits / temperature).log_softmax(-1)):
        at, drawn = cached.head_position == position, cached.draw_position == position
        log_p, ids = cached.head_log_p[at].double(), cached.head_ids[at]
        total = total + (log_p.exp() * (log_p - log_q[ids])).sum()
        m = cached.tail_mass[position].double()
        if not cached.one_tail:
            weights = cached.draw_weight[drawn].double()
            total = total - cached.tail_entropy[position] - (weights * log_q[cached.draw_ids[drawn]]).sum()
        elif m > 0:
            off = torch.ones(ROWS, dtype=torch.bool).index_fill(0, ids, False)
            total = total + m * (m.log() - log_q[off].logsumexp(0))
    return total * temperature**2


def student(positions=POSITIONS, scale=1.0):
    """Hidden states and head."""
    return normal(positions, WIDTH, seed=7, scale=scale).requires_grad_(), normal(ROWS, WIDTH, seed=8).requires_grad_()


def agree(found, expected, precision=2e-6):
    assert found.dtype == torch.float32
    assert float((found.double() - expected).abs().max()) <= precision * (1 + float(expected.abs().max()))


def compare(names, factors, head_scale=0.6, temperature=1.0, positions=POSITIONS, scale=1.0):
    """Values and both gradients of a weighted sum of losses against float64."""
    hidden, weight = student(positions, scale)
    tempered = [temperature if name in ANY_TEMPERATURE else 1.0 for name in names]
    targets = [target(name, positions, t) for name, t in zip(names, tempered, strict=True)]
    sums = head_loss_sums(hidden, weight, head_scale, targets)
    (sums * torch.tensor(factors)).sum().backward()
    exact = [tensor.detach().double().requires_grad_() for tensor in (hidden, weight)]
    logits = head_scale * exact[0] @ exact[1].T
    expected = torch.stack([exact_sum(name, logits, t) for name, t in zip(names, tempered, strict=True)])
    (expected * torch.tensor(factors)).sum().backward()
    agree(sums.detach(), expected.detach())
    agree(hidden.grad, exact[0].grad)
    agree(weight.grad, exact[1].grad)


@pytest.fixture(params=[1, 4, POSITIONS, 1000], ids=lambda size: f"chunks of {size}")
def chunked(request, monkeypatch):
    """Chunks of one position, of some with a shorter last one, of all, of more than there are."""
    monkeypatch.setitem(head_loss.CHUNK_POSITIONS, "cpu", request.param)


@pytest.mark.usefixtures("chunked")
@pytest.mark.parametrize("name", LOSSES)
def test_values_and_gradients_are_those_of_the_formulas(name):
    """An entry that lands in the neighbouring row of a chunk still looks like a loss."""
    compare([name], [0.37])


@pytest.mark.usefixtures("chunked")
def test_several_losses_add_up_with_their_own_factors():
    """Each is formed from the same logits, which the one before must have left alone."""
    compare(["hybrid", "labels", "top-k", "sampled"], [0.5, -1.25, 3.0, 0.0])


@pytest.mark.parametrize("temperature", [0.5, 2.0, 7.0])
def test_a_temperature_divides_the_logits_and_its_square_multiplies_the_loss(temperature):
    """Without the square the term fades as T grows (Hinton et al. 2015)."""
    compare(["top-k", "states", "labels"], [1.0, -0.7, 0.5], temperature=temperature)


@settings(max_examples=30, deadline=None)
@given(
    names=st.lists(st.sampled_from(LOSSES), min_size=1, max_size=3),
    positions=st.integers(1, 9),
    chunk=st.integers(1, 10),
    scale=st.sampled_from([0.0, 1.0, 8.0]),
    head_scale=st.sampled_from([0.2, 1.0]),
)
def test_any_losses_of_any_number_of_positions_in_any_chunks(names, positions, chunk, scale, head_scale):
    """A last chunk of one position, a student that is certain of something else, one loss twice."""
    before = dict(head_loss.CHUNK_POSITIONS)
    head_loss.CHUNK_POSITIONS["cpu"] = chunk
    try:
        compare(names, [1.0 + i for i in range(len(names))], head_scale, 2.0, positions, scale)
    finally:
        head_loss.CHUNK_POSITIONS.update(before)


@pytest.mark.parametrize("name", LOSSES)
def test_no_positions_at_all_are_a_loss_of_zero(name):
    """A micro-batch may have none; its gradients must still be there to be added."""
    hidden, weight = student(0)
    sums = head_loss_sums(hidden, weight, 1.0, [target(name, 0), target("labels", 0)])
    sums.sum().backward()
    assert sums.tolist() == [0.0, 0.0]
    assert hidden.grad.shape == (0, WIDTH)
    assert not weight.grad.any()


@pytest.mark.usefixtures("chunked")
@pytest.mark.parametrize("name", LOSSES)
def test_it_agrees_with_the_losses_on_whole_logits(name):
    """The two must stay one definition: the other is what caches are measured with."""
    hidden, weight = student()
    logits = 0.6 * hidden @ weight.T
    if name in KINDS:
        whole = sparse_kl(logits, decoded(name)).sum()
    else:
        whole = (
            cross_entropy(logits, some_labels(), reduction="sum")
            if name == "labels"
            else whole_kl(states().log_p(slice(None)), logits.log_softmax(-1)).sum()
        )
    agree(head_loss_sums(hidden, weight, 0.6, [target(name)]).detach()[0], whole.detach().double())


def test_a_small_tail_behind_a_certain_student_is_exact():
    """1 - sum over the head would be rounding error, or zero, and its logarithm anything."""
    cached = replace(decoded("top-1", 1), head_log_p=torch.tensor([-1e-6]), tail_mass=torch.tensor([1e-6]))
    logits = torch.zeros(1, ROWS).index_fill(1, cached.head_ids, 60.0)
    hidden = logits.clone().requires_grad_()
    found = head_loss_sums(hidden, torch.eye(ROWS), 1.0, [sparse_target(cached)])
    found.sum().backward()
    q_m = (ROWS - 1) * torch.tensor(-60.0, dtype=torch.float64).exp()
    assert float(found.detach()) == pytest.approx(float(-1e-6 + 1e-6 * (1e-6 / q_m).log()), rel=1e-4)
    assert float(hidden.grad.sum()) == pytest.approx(0.0, abs=1e-7)
    assert float(hidden.grad.max()) == pytest.approx(1e-6, rel=0.1)


@pytest.mark.parametrize("name", ["top-k", "top-1", "everything"])
def test_it_is_zero_for_a_student_that_has_the_stored_distribution(name):
    """Otherwise the optimum lies elsewhere than at the teacher."""
    cached = decoded(name)
    off = ROWS - torch.bincount(cached.head_position, minlength=POSITIONS)
    logits = (cached.tail_mass / off.clamp_min(1)).log()[:, None].expand(-1, ROWS)
    logits = logits.index_put((cached.head_position, cached.head_ids), cached.head_log_p).clamp_min(-80)
    hidden = logits.clone().requires_grad_()
    found = head_loss_sums(hidden, torch.eye(ROWS), 1.0, [sparse_target(cached)])
    found.sum().backward()
    assert float(found.detach().abs()) < 1e-5
    assert float(hidden.grad.abs().max()) < 1e-5


@settings(max_examples=40, deadline=None)
@given(
    positions=st.integers(1, 6),
    seed=st.integers(0, 99),
    scale=st.sampled_from([0.0, 1.0, 30.0]),
    temperature=st.sampled_from([0.3, 1.0, 4.0]),
)
def test_whole_distributions_agree_with_autograd_to_ten_digits(positions, seed, scale, temperature):
    """In float64 nothing but the formulas is left: a wrong power of T, or p and q exchanged, would be seen."""
    rows, weight, logits = (
        normal(*shape, seed=seed + i).double() for i, shape in enumerate([(positions, 5), (9, 5), (positions, 9)])
    )
    teacher = StateDistributions(rows * scale, weight)
    z = (logits * 3).requires_grad_()
    log_p = (scale * rows @ weight.T / temperature).log_softmax(-1)
    expected = temperature**2 * (log_p.exp() * (log_p - (z / temperature).log_softmax(-1))).sum()
    expected.backward()
    own = z.detach().clone()
    found = value_and_gradient(own, cached_target(teacher, temperature), [], slice(0, positions), wanted=True)
    exact = expected.detach()
    assert float((found - exact).abs()) < 1e-10 * (1 + float(exact))
    assert float((own * temperature - z.grad).abs().max()) < 1e-10


def test_a_student_that_gives_the_whole_distributions_has_no_loss_and_no_gradient():
    """Otherwise the optimum lies elsewhere than at the teacher."""
    teacher = states()
    hidden = teacher.rows.clone().requires_grad_()
    found = head_loss_sums(hidden, teacher.weight, 1.0, [cached_target(teacher, 2.0)])
    found.sum().backward()
    assert float(found.detach().abs()) < 1e-5
    assert float(hidden.grad.abs().max()) < 1e-5


def test_lists_include_empty_heads_and_positions_without_draws():
    """What the cases above are meant to hold."""
    cached = decoded("hybrid")
    counts = [
        torch.bincount(position, minlength=POSITIONS) for position in (cached.head_position, cached.draw_position)
    ]
    assert all((count == 0).any() and (count > 1).any() for count in counts)
    assert (decoded("sampled").draw_ids.unique_consecutive(return_counts=True)[1] > 1).any()


@pytest.mark.parametrize("name", LOSSES)
def test_a_frozen_head_or_student_gets_no_gradient(name):
    """A vocabulary of 250,000 rows has half a gigabyte of gradient that nobody asked for."""
    hidden, weight = student()
    head_loss_sums(hidden, weight, 1.0, [target(name)]).sum().backward()
    for frozen in (0, 1):
        again = [tensor.detach().requires_grad_(place != frozen) for place, tensor in enumerate((hidden, weight))]
        sums = head_loss_sums(*again, 1.0, [target(name)])
        assert sums.grad_fn.stored[frozen] is None
        sums.sum().backward()
        assert again[frozen].grad is None
        assert torch.equal(again[1 - frozen].grad, (hidden, weight)[1 - frozen].grad)


def test_no_gradient_is_formed_where_none_can_be_asked_for(monkeypatch):
    """The head is a parameter, hence in want of a gradient even under no_grad; evaluation would cost three times as much."""
    hidden, weight = student()
    targets = [target("hybrid"), target("labels")]
    expected = head_loss_sums(hidden, weight, 1.0, targets).detach()
    seen = []
    take = head_loss._Sweep.take
    monkeypatch.setattr(head_loss._Sweep, "take", lambda sweep, *rest: (seen.append(sweep.wanted), take(sweep, *rest)))
    with torch.no_grad():
        assert torch.equal(head_loss_sums(hidden, weight, 1.0, targets), expected)
    assert seen == [False, False]


def test_a_second_backward_is_refused():
    """The gradients are scaled where they lie; a second time they would be wrong."""
    hidden, weight = student()
    total = head_loss_sums(hidden, weight, 1.0, [target("labels")]).sum()
    total.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="first backward"):
        total.backward()


@pytest.mark.parametrize("name", ["hybrid", "top-k", "labels"])
def test_under_autocast_the_products_alone_are_in_bfloat16(name):
    """As the head's own forward would run; a softmax in bfloat16 has no tail."""
    hidden, weight = student()
    targets = [target(name)]
    with torch.autocast("cpu", torch.bfloat16):
        found = head_loss_sums(hidden, weight, 0.6, targets)
    found.sum().backward()
    low = ((0.6 * hidden).bfloat16() @ weight.bfloat16().T).detach().double().requires_grad_()
    expected = exact_sum(name, low)
    expected.backward()
    agree(found.detach()[0], expected.detach())
    for gradient, exact in (
        (hidden.grad, 0.6 * low.grad @ weight.detach().double()),
        (weight.grad, 0.6 * low.grad.T @ hidden.detach().double()),
    ):
        assert gradient.dtype == torch.float32
        assert float((gradient - exact).norm() / exact.norm()) < 1e-2


def test_gradients_have_the_dtype_of_what_they_belong_to():
    """Autograd refuses others."""
    hidden, weight = (tensor.detach().bfloat16().requires_grad_() for tensor in student())
    sums = head_loss_sums(hidden, weight, 1.0, [target("hybrid")])
    assert sums.dtype == torch.float32
    sums.sum().backward()
    assert hidden.grad.dtype == weight.grad.dtype == torch.bfloat16
