"""Cached next-token distributions: what is stored decodes within its step, in the promised order, for every kind."""

import math
from dataclasses import fields, replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from miniend.signals.logits.code import (
    ENTROPY_STEP,
    LogitCode,
    join_integers,
    logit_code_from,
    rank_order,
)
from miniend.signals.logits.fidelity import coarsened_kl

STEP = 1 / 32
KINDS = {
    "top-k": {"k": 8},
    "top-k by top-p": {"k": 30, "top_p": 0.7},
    "sampled": {"kind": "sampled", "k": 0, "draws": 20},
    "hybrid": {"kind": "hybrid", "k": 20, "draws": 20},
}
EACH = pytest.mark.parametrize("name", KINDS)


def teacher(positions=40, rows=50, scale=3.0, seed=0):
    """Log-probabilities [positions, rows], float32."""
    logits = scale * torch.randn(positions, rows, generator=torch.Generator().manual_seed(seed))
    return logits.log_softmax(-1)


def code(rows=50, allowed=None, step=STEP, kind="top-k", k=8, top_p=1.0, draws=0):
    """A code whose ranks are no order that an id could be mistaken for."""
    order = torch.randperm(allowed or rows, generator=torch.Generator().manual_seed(7))
    k = min(k, allowed or rows)
    return LogitCode(kind=kind, k=k, top_p=top_p, draws=draws, step=step, vocab_rows=rows, order=order)


def uniforms(positions, seed=0):
    return torch.rand(positions, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def cached(log_p, coder):
    return coder.decode(coder.encode(log_p, uniforms(len(log_p))))


def heads(found):
    """Ids and log-probabilities of every head, position after position."""
    at = [found.head_position == position for position in range(len(found.tail_mass))]
    return [(found.head_ids[rows], found.head_log_p[rows]) for rows in at]


def same(one, other):
    return all(torch.equal(getattr(one, f.name), getattr(other, f.name)) for f in fields(one))


@pytest.mark.parametrize("k", [1, 2, 8, 49])
@pytest.mark.parametrize("scale", [0.0, 1.0, 4.0])
def test_kept_entries_and_tail_are_the_teachers_within_a_step(k, scale):
    """Probabilities renormalized over the kept ones are biased, and look just as well."""
    log_p = teacher(scale=scale)
    found = cached(log_p, code(k=k))
    exact = log_p.double()
    for position, (ids, stored) in enumerate(heads(found)):
        assert len(ids) == len(set(ids.tolist())) == k
        kept = exact[position, ids]
        assert float((stored - kept).abs().max()) <= STEP
        assert torch.allclose(kept.sort().values, exact[position].topk(k).values.sort().values)
        tail, mass = float(1 - kept.exp().sum()), float(found.tail_mass[position])
        assert mass == pytest.approx(tail, rel=2 * STEP, abs=1e-6)
        assert float(stored.exp().sum()) + mass == pytest.approx(1, abs=1e-6)
    assert found.one_tail
    assert len(found.draw_ids) == len(found.draw_weight) == 0


def test_the_whole_vocabulary_leaves_no_tail():
    """A tail of rounding errors would pull the student's mass to where there is none."""
    stored = code(k=1000).encode(teacher(), uniforms(40))
    assert not stored.head_levels.reshape(40, 50)[:, 0].any(), "the level of a tail that is not there is 0"
    found = code(k=1000).decode(stored)
    assert not found.tail_mass.any()
    for ids, log_p in heads(found):
        assert sorted(ids.tolist()) == list(range(50))
        assert float(log_p.exp().sum()) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("tail", [1e-2, 1e-3, 1e-4, 1e-5, 1e-6])
@pytest.mark.parametrize("k", [1, 4])
def test_a_confident_head_keeps_its_small_tail(tail, k):
    """1 minus rounded probabilities is rounding noise; the student would be taught a tail a thousand times off."""
    head = torch.tensor([0.97, 0.02, 0.009, 0.001], dtype=torch.float64)[:k]
    p = torch.full((1, 50), tail / (50 - k), dtype=torch.float64)
    p[0, :k] = (1 - tail) * head / head.sum()
    found = cached(p.log().float(), code(k=k))
    assert math.log(float(found.tail_mass) / tail) == pytest.approx(0, abs=STEP + 0.12 * (tail < 5e-6))


@EACH
def test_ids_are_never_at_or_above_the_tokenizers_length(name):
    """T5's head has 28 rows that no tokenizer names; a student must not be taught to say them."""
    log_p = (teacher() + 4.0 * (torch.arange(50) >= 44)).log_softmax(-1)
    found = cached(log_p, code(allowed=44, **KINDS[name]))
    assert all(int(ids.max()) < 44 for ids in (found.head_ids, found.draw_ids) if len(ids))
    kept = torch.zeros(40).index_add(0, found.head_position, log_p[found.head_position, found.head_ids].exp())
    assert torch.allclose(found.tail_mass, 1 - kept, rtol=2 * STEP, atol=1e-6)
    full = cached(log_p, code(allowed=44, k=64))
    assert torch.allclose(full.tail_mass, log_p[:, 44:].exp().sum(-1), rtol=STEP), "their mass stays in the tail"


def test_levels_are_small_and_only_the_first_may_be_negative():
    """The codec and the narrowing to 16 bits count on it."""
    stored = code(k=16).encode(teacher(scale=6.0), uniforms(40))
    assert all(getattr(stored, f.name).dtype == torch.int32 for f in fields(stored))
    levels = stored.head_levels.reshape(40, 16)
    assert 0 <= int(levels[:, 1:].min()) <= int(levels[:, 1:].max()) < 2000
    assert int(stored.head_codes.min()) >= 0
    flat = code(k=2).encode(torch.zeros(1, 50).log_softmax(-1), uniforms(1))
    assert int(flat.head_levels[0]) == round(math.log(1 / 48) / STEP) < 0


def test_a_finer_step_gives_a_finer_distribution():
    """A step that is ignored on one side would pass every loose comparison."""
    log_p = teacher()
    errors = [float(coarsened_kl(log_p, cached(log_p, code(step=step))).mean()) for step in (0.5, 0.1, 0.02)]
    assert errors[0] > 5 * errors[1] > 25 * errors[2] > 0


@pytest.mark.parametrize("step", [1.0, 1 / 8, 1e-4])
@pytest.mark.parametrize("name", ["top-k", "top-k by top-p", "hybrid"])
def test_entries_fall_in_probability_and_equal_ones_ascend_in_rank(name, step):
    """The ranks of equal entries are stored as differences, which must not be negative."""
    coder = code(step=step, **KINDS[name])
    ranks = torch.empty_like(coder.order)
    ranks[coder.order] = torch.arange(50)
    tied = 0
    for ids, log_p in heads(cached(teacher(scale=1.5), coder)):
        assert (torch.diff(log_p) <= 0).all()
        equal = torch.diff(log_p) == 0
        assert (torch.diff(ranks[ids])[equal] > 0).all()
        tied += int(equal.sum())
    assert tied > 0 or step < 1


def test_a_small_head_is_stored_as_written_out_by_hand():
    """Encoder and decoder that share a mistake agree with each other."""
    p = torch.tensor([[0.05, 0.4, 0.1, 0.4, 0.05]])
    coder = LogitCode(
        kind="top-k", k=3, top_p=1.0, draws=0, step=0.5, vocab_rows=5, order=torch.tensor([3, 2, 1, 0, 4])
    )
    stored = coder.encode(p.log(), uniforms(1))
    assert stored.head_sizes.tolist() == [3]
    assert stored.head_codes.tolist() == [0, 2, 1], "id 3 has rank 0, id 1 rank 0 + 2, id 2 begins anew with rank 1"
    assert stored.head_levels.tolist() == [round(math.log(0.4 / 0.1) / 0.5), 0, round(math.log(0.4 / 0.1) / 0.5)]
    found = coder.decode(stored)
    assert found.head_ids.tolist() == [3, 1, 2]
    z = math.log(2 + 2 * math.exp(-1.5))
    assert found.head_log_p.tolist() == pytest.approx([-z, -z, -1.5 - z], abs=1e-6)
    assert float(found.tail_mass) == pytest.approx(math.exp(-1.5 - z), abs=1e-6)


@settings(max_examples=80)
@given(
    seed=st.integers(0, 10_000),
    name=st.sampled_from(sorted(KINDS)),
    scale=st.floats(0.0, 6.0),
    step=st.sampled_from([1e-4, 1 / 8, 1.0]),
    grid=st.sampled_from([0.0, 0.5, 2.0]),
)
def test_the_ids_of_a_head_come_back_exactly(seed, name, scale, step, grid):
    """Ids pass through ranks, groups and differences; one off by one is another word."""
    logits = teacher(6, scale=scale, seed=seed)
    log_p = ((logits / grid).round() * grid if grid else logits).log_softmax(-1)
    settings_ = KINDS[name]
    found = cached(log_p, code(step=step, **settings_))
    for position, (ids, stored) in enumerate(heads(found)):
        p = log_p[position].exp()
        if settings_.get("kind", "top-k") == "top-k":
            falling = p.sort(descending=True).values
            size = min(settings_["k"], int((falling.cumsum(0) < settings_.get("top_p", 2.0)).sum()) + 1)
            assert torch.equal(p[ids].sort(descending=True).values, falling[:size])
        else:
            expected = (p >= 1 / 20).nonzero()[:, 0].tolist() if name == "hybrid" else []
            assert sorted(ids.tolist()) == expected
        assert len(set(ids.tolist())) == len(ids)
        assert torch.allclose(stored, log_p[position, ids], atol=step + 1e-4)


def test_top_p_ends_a_list_where_the_mass_is_reached():
    """One entry too few keeps less than was asked for; one too many is paid for at every position."""
    p = torch.tensor([[0.5, 0.25, 0.125, 0.0625, 0.0625], [0.96, 0.01, 0.01, 0.01, 0.01]])
    for top_p, sizes in ((0.5, [1, 1]), (0.51, [2, 1]), (0.75, [2, 1]), (0.9, [4, 1]), (0.99, [4, 4]), (1.0, [4, 4])):
        stored = code(rows=5, k=4, top_p=top_p).encode(p.log(), uniforms(2))
        assert stored.head_sizes.tolist() == sizes, top_p


def test_a_hybrid_head_may_be_empty():
    """Where no id reaches 1/N there is nothing to keep exactly, and such positions stand between others."""
    flat = torch.zeros(1, 50).log_softmax(-1)
    log_p = torch.cat([flat, teacher(1), flat, flat, teacher(1, seed=1), flat])
    found = cached(log_p, code(**KINDS["hybrid"]))
    sizes = [len(ids) for ids, _ in heads(found)]
    assert [sizes[i] for i in (0, 2, 3, 5)] == [0] * 4
    assert min(sizes[1], sizes[4]) > 0
    assert found.tail_mass[[0, 2, 3, 5]].tolist() == [1.0] * 4
    for position in (1, 4):
        ids, stored = heads(found)[position]
        assert torch.allclose(stored, log_p[position, ids], atol=STEP)
    empty = cached(flat.expand(3, -1), code(**KINDS["hybrid"]))
    assert len(empty.head_ids) == 0
    assert torch.bincount(empty.draw_position).tolist() == [20] * 3


def test_an_id_of_exactly_one_nth_is_kept():
    """The bound belongs to the head; in the tail it would be drawn every time, for more bytes."""
    sure = torch.full((1, 50), float("-inf")).index_fill(1, torch.tensor([7]), 0.0)
    found = cached(sure, code(kind="hybrid", k=1, draws=1))
    assert (found.head_ids.tolist(), len(found.draw_ids)) == ([7], 0)


@pytest.mark.parametrize("name", ["sampled", "hybrid"])
def test_draws_come_from_the_tail_and_stand_for_its_mass(name):
    """A draw that is also in the head counts twice; weights that do not sum to the mass bias every gradient."""
    log_p = teacher(scale=2.0)
    coder = code(**KINDS[name])
    stored = coder.encode(log_p, uniforms(40))
    found = coder.decode(stored)
    in_head = set(zip(found.head_position.tolist(), found.head_ids.tolist(), strict=True))
    drawn = list(zip(found.draw_position.tolist(), found.draw_ids.tolist(), strict=True))
    assert not in_head & set(drawn)
    assert (torch.diff(found.draw_position) >= 0).all()
    rank_falls = torch.diff(stored.draw_ranks) < 0
    assert (torch.diff(found.draw_position)[rank_falls] > 0).all(), "ranks ascend within a position"
    sizes = torch.bincount(found.draw_position, minlength=40)
    total = torch.zeros(40).index_add(0, found.draw_position, found.draw_weight)
    expected = torch.where(sizes > 0, found.tail_mass.clamp_min(1 / 20), 0.0)
    assert torch.allclose(total, expected)
    assert not found.one_tail
    if name == "sampled":
        assert sizes.tolist() == [20] * 40
        assert torch.allclose(found.draw_weight, torch.tensor(1 / 20))


@pytest.mark.parametrize("name", ["sampled", "hybrid"])
def test_the_tail_entropy_is_that_of_everything_outside_the_head(name):
    """It makes the logged loss a KL; over the whole vocabulary it would count the head twice."""
    log_p = teacher(scale=2.0)
    found = cached(log_p, code(**KINDS[name]))
    for position, (ids, _) in enumerate(heads(found)):
        rest = log_p[position].double().clone()
        rest[ids] = -1e9
        expected = float(-(rest.exp() * rest).sum())
        assert float(found.tail_entropy[position]) == pytest.approx(expected, abs=ENTROPY_STEP / 2 + 1e-5)


@EACH
@settings(max_examples=10)
@given(seed=st.integers(0, 10_000), scale=st.floats(0.0, 5.0), grid=st.sampled_from([0.0, 1.0]))
def test_positions_encoded_together_or_alone_give_the_same_integers(name, seed, scale, grid):
    """A cache must not depend on which examples shared a batch."""
    logits = teacher(9, scale=scale, seed=seed)
    log_p = ((logits / grid).round() * grid if grid else logits).log_softmax(-1)
    coder, numbers = code(**KINDS[name]), uniforms(9, seed)
    together = coder.encode(log_p, numbers)
    alone = join_integers([coder.encode(log_p[i : i + 1], numbers[i : i + 1]) for i in range(9)])
    assert same(together, alone)
    assert same(together, coder.encode(log_p, numbers)), "nor on when"


@EACH
def test_decoding_positions_together_or_alone_gives_the_same_distributions(name):
    """Lists lie end to end; a sum that runs over into the next position is wrong from the second one on."""
    log_p, coder = teacher(9, scale=1.5), code(**KINDS[name])
    together = cached(log_p, coder)
    numbers = uniforms(9)
    for position in range(9):
        one = coder.decode(coder.encode(log_p[position][None], numbers[position][None]))
        at, drawn = together.head_position == position, together.draw_position == position
        assert torch.equal(one.head_ids, together.head_ids[at])
        assert torch.allclose(one.head_log_p, together.head_log_p[at], atol=1e-6)
        assert torch.equal(one.draw_ids, together.draw_ids[drawn])
        assert torch.allclose(one.draw_weight, together.draw_weight[drawn])
        assert torch.allclose(one.tail_mass[0], together.tail_mass[position])


@EACH
def test_no_positions_at_all_are_no_error(name):
    """An accumulation step may be cut so that nothing is left."""
    found = cached(torch.zeros(0, 50), code(**KINDS[name]))
    assert [len(part) for part in (found.head_ids, found.draw_ids, found.tail_mass)] == [0, 0, 0]


def test_ranks_are_by_falling_mean_probability_and_the_smaller_id_among_equals():
    """An order that depended on the machine's sort would be another cache on another machine."""
    mean = torch.tensor([0.1, 0.3, 0.1, 0.3, 0.05, 0.15])
    assert rank_order(mean, 6).tolist() == [1, 3, 5, 0, 2, 4]
    assert rank_order(mean, 4).tolist() == [1, 3, 0, 2]


@pytest.mark.parametrize("temperature", [0.5, 2.0, 5.0])
@pytest.mark.parametrize("k", [1, 8, 44])
def test_at_another_temperature_head_and_tail_are_those_of_the_tempered_teacher(k, temperature):
    """The tail's mass at temperature 1 says nothing of it: at 5 it may be most of everything."""
    log_p = teacher()
    coder = replace(code(allowed=44, k=k), temperatures=(3.0, temperature))
    stored = coder.encode(log_p, uniforms(40))
    found = coder.decode(stored, temperature)
    exact = (log_p.double() / temperature).log_softmax(-1)
    within = STEP * max(1.0, 1 / temperature)  # log-ratios are rounded before they are divided
    for position, (ids, kept) in enumerate(heads(found)):
        assert float((kept - exact[position, ids]).abs().max()) <= within
        tail = float(1 - exact[position, ids].exp().sum())
        assert float(found.tail_mass[position]) == pytest.approx(tail, rel=2 * within, abs=1e-6)
        assert float(kept.exp().sum() + found.tail_mass[position]) == pytest.approx(1, abs=1e-6)
    assert float(coarsened_kl(exact.float(), found).mean()) < within**2
    assert same(replace(stored, tail_levels=stored.tail_levels[:0]), code(allowed=44, k=k).encode(log_p, uniforms(40)))


def test_a_whole_vocabulary_has_no_tail_at_any_temperature():
    """1 - sum is rounding noise then, and its logarithm a level like any other."""
    coder = replace(code(k=50), temperatures=(2.0,))
    stored = coder.encode(teacher(), uniforms(40))
    assert stored.tail_levels.tolist() == [[0] * 40]
    assert float(coder.decode(stored, 2.0).tail_mass.max()) == 0


def test_a_temperature_that_was_not_named_cannot_be_decoded():
    """The head alone would do, and be wrong in its normalizer."""
    coder = replace(code(), temperatures=(2.0,))
    with pytest.raises(ValueError):
        coder.decode(coder.encode(teacher(), uniforms(40)), 4.0)


def test_a_code_is_rebuilt_from_its_description():
    """A plan's numbers may come back from JSON as other types."""
    described = {"kind": "hybrid", "k": 20, "top_p": 1, "draws": 20, "step": 0.125, "entropy_step": 0.125}
    described["temperatures"] = [2, 4.5]
    found = logit_code_from(described, 50, torch.arange(44, dtype=torch.int32))
    assert (found.kind, found.k, found.top_p, found.draws, found.step, found.vocab_rows) == (
        "hybrid", 20, 1.0, 20, 0.125, 50,
    )  # fmt: skip
    assert found.order.dtype == torch.int64
    assert found.temperatures == (2.0, 4.5)
