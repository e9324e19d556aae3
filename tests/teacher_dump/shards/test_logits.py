"""Encoding a batch's logits: in pieces or at once the same integers, and measurements of what they say they are."""

from dataclasses import fields, replace

import pytest
import torch

from miniend.signals.logits.code import LogitCode
from miniend.signals.logits.fidelity import coarsened_kl
from miniend.teacher_dump.shards import logits as shard_logits
from miniend.teacher_dump.shards.logits import LogitEncoder, LogitMeasurements

KINDS = {"top-k": {"k": 6, "draws": 0}, "sampled": {"k": 0, "draws": 10}, "hybrid": {"k": 10, "draws": 10}}
EACH = pytest.mark.parametrize("kind", KINDS)
POSITIONS, ROWS = 20, 40
CPU = torch.device("cpu")


def code_of(kind):
    return LogitCode(kind=kind, top_p=1.0, step=1 / 8, vocab_rows=ROWS, order=torch.arange(ROWS), **KINDS[kind])


def encode(code, measured=()):
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(POSITIONS, ROWS, generator=generator)
    labels = torch.randint(0, ROWS, (POSITIONS,), generator=generator)
    numbers = torch.rand(POSITIONS, generator=generator, dtype=torch.float64)
    chosen = torch.zeros(POSITIONS, dtype=torch.bool).index_fill(0, torch.tensor([*measured], dtype=torch.long), True)
    into = LogitMeasurements()
    reference = torch.full((ROWS,), 1 / ROWS)
    stored = LogitEncoder(code, None, reference, CPU).encode(logits, labels, numbers, chosen, into)
    return logits, labels, numbers, stored, into


@EACH
def test_pieces_give_what_the_whole_gives(kind, monkeypatch):
    """Uniform numbers or a mask that stay behind at the first piece would repeat its draws in all others."""
    code = code_of(kind)
    *_, whole, measured = encode(code, measured=range(5, 12))
    monkeypatch.setattr(shard_logits, "_ROWS", 7)
    *_, pieces, again = encode(code, measured=range(5, 12))
    assert all(torch.equal(getattr(whole, f.name), getattr(pieces, f.name)) for f in fields(whole))
    assert again.fidelity.keys() == measured.fidelity.keys()
    for name, part in measured.fidelity.items():
        assert (again.fidelity[name].mean, again.fidelity[name].count) == pytest.approx((part.mean, part.count))


@EACH
def test_measurements_are_means_over_positions(kind):
    """They stand in the marker, and `inspect` adds them up over shards."""
    logits, labels, numbers, stored, into = encode(code_of(kind))
    assert into.loss.mean == pytest.approx(float(torch.nn.functional.cross_entropy(logits, labels)), rel=1e-5)
    target = code_of(kind).decode(code_of(kind).encode(logits.log_softmax(-1), numbers))
    assert into.fidelity["tail_mass"].mean == pytest.approx(float(target.tail_mass.mean()))
    assert into.fidelity["entries"].total == int(stored.head_sizes.sum() + stored.draw_sizes.sum())
    assert {part.count for part in (into.loss, *into.fidelity.values())} == {POSITIONS}
    assert "gradient_dot" not in into.fidelity


@EACH
def test_gradients_are_compared_at_the_chosen_positions_alone(kind):
    """Positions of examples that the codecs were fitted on would flatter the cache."""
    *_, into = encode(code_of(kind), measured=(0, 3, 4))
    assert {into.fidelity[n].count for n in ("gradient_dot", "gradient_square", "cached_square")} == {3}
    one = [encode(code_of(kind), measured=(n,))[-1].fidelity["gradient_dot"].total for n in (0, 3, 4)]
    assert into.fidelity["gradient_dot"].total == pytest.approx(sum(one), rel=1e-5)


def test_rounding_is_measured_at_every_temperature():
    """A tail that is negligible at temperature 1 is coarse at 4."""
    code = replace(code_of("top-k"), temperatures=(2.0, 0.5))
    logits, _, _, stored, into = encode(code)
    for temperature in code.temperatures:
        log_p = (logits / temperature).log_softmax(-1)
        kl = float(coarsened_kl(log_p, code.decode(stored, temperature)).mean())
        assert into.fidelity[f"kl at {temperature:g}"].mean == pytest.approx(kl, rel=1e-4)
        assert 0 < kl < 1e-2


def test_without_a_code_the_teachers_loss_is_measured_alone():
    """A dump without logits still says how good its teacher is."""
    logits, labels, _, stored, into = encode(None, measured=(1,))
    assert stored is None
    assert into.fidelity == {}
    assert into.loss.mean == pytest.approx(float(torch.nn.functional.cross_entropy(logits, labels)), rel=1e-5)
