"""Relations against naive float64 formulas: values, gradients, masks, regrouping."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from miniend.errors import ConfigurationError
from miniend.signals.relations import blocked_kl as relation_kl
from miniend.signals.relations.relations import (
    carries_no_information,
    check_relation_heads,
    default_relation_heads,
    relation_kl_sum,
    relation_log_probabilities,
    relation_logits,
    relation_rows,
    relative_entropy,
    visible_keys,
)
from miniend.signals.sites import Site
from support.attention import axes_at, relations_at

SITES = [Site("encoder.self", 0), Site("decoder.self", 1), Site("decoder.cross", 2)]
LENGTHS = {"input": 7, "target": 5}
VALID = {"input": [7, 4], "target": [3, 5]}
ALL = [(site, relation) for site in SITES for relation in relations_at(site)]
every_relation = pytest.mark.parametrize(("site", "relation"), ALL, ids=[f"{s.name} {r.kind}" for s, r in ALL])


def masks():
    return {axis: torch.arange(LENGTHS[axis])[None] < torch.tensor(n)[:, None] for axis, n in VALID.items()}


def factors(site, width, seed, scale=1.5):
    generator = torch.Generator().manual_seed(seed)
    axis = axes_at(site)
    return {kind: scale * torch.randn(2, LENGTHS[axis[kind]], width, generator=generator) for kind in axis}


def naive_rows(relation, tensors, heads, inverse_temperature):
    """(example, row, head) -> probabilities over the visible keys alone, float64, without any mask."""
    for example in range(2):
        left, right = (tensors[side][example].double().numpy() for side in (relation.left, relation.right))
        for row in range(VALID[relation.row_axis][example]):
            seen = row + 1 if relation.causal else VALID[relation.key_axis][example]
            for head in range(heads):
                width = left.shape[1] // heads
                part = slice(head * width, (head + 1) * width)
                scores = np.array(
                    [inverse_temperature * left[row, part] @ right[key, part] / math.sqrt(width) for key in range(seen)]
                )
                weights = np.exp(scores - scores.max())
                yield (example, row, head), weights / weights.sum()


def naive_kl(relation, teacher, student, heads, inverse_temperature):
    q = dict(naive_rows(relation, student, heads, inverse_temperature))
    return sum(
        float((p * (np.log(p) - np.log(q[place]))).sum())
        for place, p in naive_rows(relation, teacher, heads, inverse_temperature)
    )


@every_relation
@pytest.mark.parametrize(("heads", "inverse_temperature"), [(1, 1.0), (4, 1.0), (12, 1.0), (4, 3.5)])
def test_the_kl_is_that_of_the_formula(site, relation, heads, inverse_temperature):
    """A mask or scale that is a little wrong still trains, to something else."""
    teacher, student = factors(site, 24, 1), factors(site, 12, 2)
    found = relation_kl_sum(relation, teacher, student, masks(), heads, inverse_temperature)
    assert float(found) == pytest.approx(
        naive_kl(relation, teacher, student, heads, inverse_temperature), rel=1e-5, abs=1e-5
    )
    assert relation_rows(relation, masks(), heads) == len(
        list(naive_rows(relation, teacher, heads, inverse_temperature))
    )


@every_relation
def test_the_gradient_is_that_of_finite_differences_of_the_formula(site, relation):
    """A block of rows of a self relation also acts through its keys: a gradient through the rows alone looks alive."""
    teacher, student = factors(site, 12, 1), factors(site, 12, 2)
    for kind in {relation.left, relation.right}:
        tracked = {**student, kind: student[kind].clone().requires_grad_()}
        relation_kl_sum(relation, teacher, tracked, masks(), 4, 1.3).backward()
        gradient = tracked[kind].grad
        step = 1e-5
        for place in [(0, 0, 0), (0, 2, 5), (1, 1, 11), (1, 3, 2), (1, 4, 7)]:
            sides = []
            for sign in (1, -1):
                moved = {**student, kind: student[kind].double().clone()}
                moved[kind][place] += sign * step
                sides.append(naive_kl(relation, teacher, moved, 4, 1.3))
            assert float(gradient[place]) == pytest.approx((sides[0] - sides[1]) / (2 * step), rel=2e-3, abs=2e-4)


@every_relation
def test_the_kl_is_zero_when_student_equals_teacher(site, relation):
    """Otherwise the best student is not the one that agrees."""
    tensors = factors(site, 24, 3, scale=4.0)
    tracked = {kind: tensor.clone().requires_grad_() for kind, tensor in tensors.items()}
    kl = relation_kl_sum(relation, tensors, tracked, masks(), 8, 2.0)
    kl.backward()
    assert float(kl.detach()) == 0.0
    gradients = [tensor.grad for tensor in tracked.values() if tensor.grad is not None]
    assert gradients
    assert all(float(gradient.abs().max()) < 1e-5 for gradient in gradients)


@every_relation
def test_padding_has_no_influence(site, relation):
    """A loss that sees padding depends on which examples happen to share a batch; NaN in padding would spread."""
    teacher, student, valid = factors(site, 24, 1), factors(site, 24, 2), masks()
    axis = axes_at(site)
    expected = float(relation_kl_sum(relation, teacher, student, valid, 4, 1.0))
    for filler in (0.0, 1e4):
        filled = [
            {kind: tensor.masked_fill(~valid[axis[kind]][..., None], filler) for kind, tensor in side.items()}
            for side in (teacher, student)
        ]
        tracked = {kind: tensor.requires_grad_() for kind, tensor in filled[1].items()}
        kl = relation_kl_sum(relation, filled[0], tracked, valid, 4, 1.0)
        assert float(kl.detach()) == pytest.approx(expected, rel=1e-6)
        kl.backward()
        for kind, tensor in tracked.items():
            if tensor.grad is not None:
                assert torch.isfinite(tensor.grad).all()
                assert not tensor.grad[~valid[axis[kind]]].any()


@every_relation
def test_a_batch_is_the_sum_of_its_examples(site, relation):
    """A mean of means would weigh short examples more, and change with the batch size."""
    teacher, student, valid = factors(site, 24, 1), factors(site, 24, 2), masks()
    whole = float(relation_kl_sum(relation, teacher, student, valid, 4, 1.0))
    parts = 0.0
    for i in range(2):
        one = [{name: tensor[i : i + 1] for name, tensor in side.items()} for side in (teacher, student, valid)]
        parts += float(relation_kl_sum(relation, *one, 4, 1.0))
    assert whole == pytest.approx(parts, rel=1e-6)


@pytest.mark.parametrize("budget", [1, 5000, 13_000, 2**15, 2**19])
@pytest.mark.parametrize("causal", [False, True])
def test_blocks_add_up_to_the_whole(monkeypatch, budget, causal):
    """The tensors above fit in one block; real ones never do, and a causal block leaves out what none of its rows sees."""
    monkeypatch.setitem(relation_kl.BLOCK_ELEMENTS, "cpu", budget)
    site = Site("decoder.self" if causal else "encoder.self", 0)
    relation, axis = relations_at(site)[0], "target" if causal else "input"
    generator = torch.Generator().manual_seed(1)
    teacher, student = (torch.randn(3, 70, width, generator=generator) for width in (24, 12))
    valid = {axis: torch.arange(70) < torch.tensor([[70], [41], [1]])}
    ours, theirs = student.clone().requires_grad_(), student.double().requires_grad_()
    found = relation_kl_sum(relation, {"query": teacher}, {"query": ours}, valid, 4, 1.3)
    found.backward()
    whole = []
    for example, length in enumerate((70, 41, 1)):
        scores = []
        for side in (teacher.double(), theirs):
            heads = side[example, :length].unflatten(-1, (4, -1)).transpose(0, 1)
            scores.append(1.3 * heads @ heads.mT / math.sqrt(heads.shape[-1]))
        hidden = ~torch.ones(length, length, dtype=torch.bool).tril() & torch.tensor(causal)
        log_p, log_q = (score.masked_fill(hidden, -1e30).log_softmax(-1) for score in scores)
        whole.append((log_p.exp() * (log_p - log_q)).sum())
    sum(whole).backward()
    assert float(found.detach()) == pytest.approx(sum(whole).item(), rel=1e-5)
    assert torch.allclose(ours.grad.double(), theirs.grad, rtol=1e-4, atol=1e-5)


def test_relations_of_target_positions_alone_are_causal():
    """A decoder row that sees its future learns relations that do not exist when it generates."""
    causal = {(site.name, relation.kind) for site, relation in ALL if relation.causal}
    assert causal == {("decoder.self", kind) for kind in ("query", "key", "value")} | {("decoder.cross", "query")}
    assert [relation.kind for relation in relations_at(SITES[2])] == ["query", "key", "value", "query_key"]


@pytest.mark.parametrize(("site", "relation"), [(s, r) for s, r in ALL if r.causal], ids=lambda value: str(value)[:20])
def test_a_causal_row_sees_no_future_key(site, relation):
    """What comes later must change neither probabilities nor gradient of a row."""
    tensors, valid = factors(site, 24, 1), masks()
    visible = visible_keys(valid["target"], valid["target"], relation.causal)
    log_p = relation_log_probabilities(relation_logits(tensors[relation.left], tensors[relation.right], 4), visible)
    assert not log_p.exp()[:, :, ~torch.ones(5, 5, dtype=torch.bool).tril()].any()
    assert torch.equal(log_p[:, :, 0, 0], torch.zeros(2, 4))
    moved = {**tensors, relation.right: tensors[relation.right].clone()}
    moved[relation.right][:, 3:] += 100.0
    again = relation_log_probabilities(relation_logits(tensors[relation.left], moved[relation.right], 4), visible)
    assert torch.equal(log_p[:, :, :3], again[:, :, :3])


def test_one_head_and_a_head_per_entry_are_the_extremes_of_regrouping():
    """Heads that take strided entries instead of runs would compare unlike things between two widths."""
    left = torch.randn(1, 3, 6)
    one, six = relation_logits(left, left, 1), relation_logits(left, left, 6)
    assert torch.allclose(one[0, 0], left[0] @ left[0].T / math.sqrt(6), atol=1e-6)
    assert torch.allclose(six[0], torch.stack([torch.outer(left[0, :, i], left[0, :, i]) for i in range(6)]), atol=1e-6)
    two = relation_logits(left, left, 2)
    assert torch.allclose(two[0, 1], left[0, :, 3:] @ left[0, :, 3:].T / math.sqrt(3), atol=1e-6)


def test_half_precision_factors_are_computed_in_float32():
    """Sums over keys in bfloat16 lose the small differences that a KL consists of."""
    site, relation = ALL[0]
    teacher, student = factors(site, 24, 1), factors(site, 24, 2)
    low = [{kind: tensor.bfloat16() for kind, tensor in side.items()} for side in (teacher, student)]
    exact = [{kind: tensor.float() for kind, tensor in side.items()} for side in low]
    assert relation_logits(low[0]["query"], low[0]["query"], 4).dtype == torch.float32
    found, expected = (float(relation_kl_sum(relation, *sides, masks(), 4, 1.0)) for sides in (low, exact))
    assert found == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("step", "kept"), [(2, [0, 2, 4, 6]), (3, [0, 3, 6])])
def test_a_row_step_takes_every_so_manieth_row(step, kept):
    """An estimate over rows that are cut from a causal mask at the wrong place sees other keys."""
    site, relation = ALL[0]
    teacher, student, valid = factors(site, 24, 1), factors(site, 24, 2), masks()
    only = valid["input"] & torch.tensor([row in kept for row in range(7)])[None]
    p = {place: p for place, p in naive_rows(relation, teacher, 4, 1.0) if place[1] in kept}
    q = dict(naive_rows(relation, student, 4, 1.0))
    expected = sum(float((p[place] * np.log(p[place] / q[place])).sum()) for place in p)
    assert float(relation_kl_sum(relation, teacher, student, valid, 4, 1.0, step)) == pytest.approx(
        expected, rel=1e-5, abs=1e-5
    )
    assert relation_rows(relation, valid, 4, step) == int(only.sum()) * 4


@every_relation
def test_relative_entropy_is_that_of_the_formula(site, relation):
    """The number that tells a user whether a relation teaches anything."""
    tensors = factors(site, 24, 4)
    found = relative_entropy(relation, tensors, masks(), 4, 1.7)
    rows = [p for _, p in naive_rows(relation, tensors, 4, 1.7) if len(p) > 1]
    assert found == pytest.approx(np.mean([-(p * np.log(p)).sum() / np.log(len(p)) for p in rows]), rel=1e-5, abs=1e-5)


def test_uniform_and_one_hot_relations_carry_no_information():
    """Both meet every target KL for free."""
    site, relation = ALL[0]
    for scale, expected in ((0.0, 1.0), (200.0, 0.0)):
        entropy = relative_entropy(relation, factors(site, 24, 1, scale=scale), masks(), 1, 1.0)
        assert entropy == pytest.approx(expected, abs=1e-3)
        assert carries_no_information(entropy)
    assert not carries_no_information(0.8)


@pytest.mark.parametrize(
    ("widths", "heads"),
    [
        ((768,), 32),
        ((768, 384), 32),
        ((48,), 24),
        ((80,), 16),
        ((36,), 12),
        ((40,), 8),
        ((10,), 5),
        ((7,), 7),
        ((11,), 1),
    ],
)
def test_the_default_number_of_heads_is_the_largest_that_divides_every_width(widths, heads):
    """Two numbers for teacher and student would compare different relations."""
    assert default_relation_heads(*widths) == heads


@settings(max_examples=100)
@given(widths=st.lists(st.integers(1, 2048), min_size=1, max_size=2))
def test_the_default_number_of_heads_always_divides(widths):
    """There must be one for any model."""
    heads = default_relation_heads(*widths)
    check_relation_heads(heads, **{f"width{i}": width for i, width in enumerate(widths)})
    assert all(width % heads == 0 for width in widths)


@pytest.mark.parametrize("heads", [0, -1, 5, 48])
def test_heads_that_do_not_divide_are_refused_with_those_that_do(heads):
    """The user cannot guess which numbers two widths share."""
    with pytest.raises(ConfigurationError, match=r"teacher 64, student 48.*these do: 1, 2, 4, 8, 16$"):
        check_relation_heads(heads, teacher=64, student=48)
