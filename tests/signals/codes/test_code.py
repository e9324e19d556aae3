"""The joint basis: what comes back, how exactly, and that a calibration can be repeated to the bit."""

import pytest
import torch

from miniend.errors import ConfigurationError
from miniend.signals.codes.code import ARRAYS, join_blocks
from miniend.signals.codes.fit import Moments, fit_code
from miniend.signals.fidelity import SiteSample
from miniend.signals.kinds import kind_of
from miniend.signals.relations.codec import AttentionCodec
from miniend.signals.sites import Site
from miniend.storage.documents.parse import parse
from support.attention import axes_at

KINDS = ("query", "key", "value")


def metric_of(weights, inner=6):
    """The same weight in every direction of a block."""
    return {kind: weight**2 * torch.eye(inner, dtype=torch.float64)[None] for kind, weight in weights.items()}


EVEN = dict.fromkeys(KINDS, 1.0)


def same(rows):
    """Token ids of rows that are all one token, whose mean is that of all rows."""
    return torch.zeros(rows.shape[:-1], dtype=torch.int64)


def rows_of(tokens=400, inner=6, rank=5, seed=0):
    """Three linear images of one input of small width, with a mean, as Q, K and V of a layer are."""
    generator = torch.Generator().manual_seed(seed)
    image = torch.randn(rank, 3 * inner, generator=generator)
    return torch.randn(tokens, rank, generator=generator) @ image + 3 * torch.randn(3 * inner, generator=generator)


def fitted(rows, weights=EVEN):
    moments = Moments(rows.shape[1])
    for part in rows.split(70):
        moments.add(part, same(part))
    return fit_code(moments, KINDS, metric_of(weights))


def back(code, rows):
    """What comes back of rows."""
    return code.decode(code.encode(rows, same(rows)), same(rows))


def test_moments_are_those_of_all_rows_together():
    """A covariance of batch means would lose what differs within a batch."""
    rows = rows_of().double()
    moments = Moments(rows.shape[1])
    for part in rows.split([1, 99, 300]):
        moments.add(part, same(part))
    assert torch.allclose(moments.mean(), rows.mean(0))
    assert torch.allclose(moments.covariance(), torch.cov(rows.T, correction=0))
    assert moments.count == 400


def test_the_joint_rank_is_that_of_the_layer_input_and_the_rest_of_the_basis_stays_silent():
    """A direction lost would be an error that no step can mend; one too many that speaks would store noise."""
    rows = rows_of(rank=5)
    code = fitted(rows)
    assert code.synthesis.shape == (18, 18)
    used = code.with_step(1e-3).encode(rows, same(rows)).abs().amax(0)
    assert (used[:5] > 0).all()
    assert (used[5:] == 0).all()


def test_rows_that_the_fit_has_not_seen_are_represented_too():
    """A basis of the few rows seen alone would put a floor under the KL that no step could get below."""
    code = fitted(rows_of(rank=18)[:6]).with_step(1e-3)
    rows = rows_of(rank=18, seed=1)
    assert float((back(code, rows) - rows).abs().max()) < 5e-3


def test_coefficients_that_exceed_32_bits_are_refused():
    """Saturated integers would be written, and decoded to something else, without a sign."""
    with pytest.raises(ConfigurationError, match="too small"):
        fitted(rows_of()).with_step(1e-12).encode(rows_of(), same(rows_of()))


@pytest.mark.parametrize("step", [1e-3, 0.05, 0.5])
def test_no_coefficient_is_off_by_more_than_a_step(step):
    """A dead zone without bounds, or a basis that is not orthonormal, costs fidelity without a sign."""
    rows = rows_of(seed=1)
    code = fitted(rows).with_step(step)
    found = back(code, rows)
    gram = code.synthesis @ code.synthesis.T
    assert torch.allclose(gram, torch.eye(code.rank), atol=1e-5)
    assert float(((found - rows) @ code.synthesis.T).abs().max()) <= step + 1e-4
    assert float((found - rows).norm(dim=1).max()) <= step * code.rank**0.5 + 1e-4


def test_rows_that_the_fit_did_not_see_come_back_too():
    """Other examples of the same layer lie in the same space."""
    rows = rows_of(tokens=800)
    code = fitted(rows[:400]).with_step(1e-3)
    assert torch.allclose(back(code, rows[400:]), rows[400:], atol=5e-3)


def test_a_block_of_greater_weight_comes_back_more_exactly():
    """The weights make equal errors cost equal KL; if they cancelled out, the sensitive block would set the step for all."""
    rows = torch.randn(4000, 18, generator=torch.Generator().manual_seed(2))
    weights = {"query": 1.0, "key": 0.5, "value": 0.1}
    code = fitted(rows, weights).with_step(0.2)
    error = (back(code, rows) - rows).square().mean(0).sqrt()
    found = {kind: float(part.mean()) for kind, part in code.split(error).items()}
    expected = 0.2 / 12**0.5
    assert found == pytest.approx({kind: expected / weight for kind, weight in weights.items()}, rel=0.15)


def test_unrounded_coefficients_give_the_rows_back_at_any_weights():
    """encode and decode must be inverse maps, whatever the weights."""
    rows = rows_of(seed=3)
    code = fitted(rows, {"query": 1.0, "key": 0.3, "value": 0.05}).with_step(0.7)
    exact = code.coefficients(rows, same(rows)) @ code.synthesis + code.mean
    assert torch.allclose(exact, rows, atol=1e-3)


def test_the_same_rows_give_the_same_bits():
    """A calibration that differs from run to run makes caches that cannot be told from damaged ones."""
    one, two = fitted(rows_of(seed=4)), fitted(rows_of(seed=4))
    for name in ARRAYS:
        assert getattr(one, name).numpy().tobytes() == getattr(two, name).numpy().tobytes()


def test_components_come_strongest_first_with_their_largest_entry_positive():
    """eigh gives either sign; a library that gave the other would change every byte."""
    rows = rows_of(seed=5)
    code = fitted(rows)
    energy = code.coefficients(rows, same(rows)).var(0)
    assert (energy[:5].diff() < 0).all()
    assert float(energy[5:].max()) < 1e-6 * float(energy[4])
    largest = code.synthesis.gather(1, code.synthesis.abs().argmax(1, keepdim=True))
    assert (largest > 0).all()


def test_a_truncated_code_keeps_the_strongest_components():
    """The weakest instead would look like a cache of the right size."""
    rows = rows_of(seed=6)
    code = fitted(rows).with_step(1e-4)
    errors = [float((back(code.truncated(n), rows) - rows).norm()) for n in range(1, 6)]
    assert errors == sorted(errors, reverse=True)
    assert torch.equal(code.truncated(2).synthesis, code.synthesis[:2])


def codec_of(site, rank=5):
    tensors, codes, places = {}, {}, kind_of(site).places(site)
    for number, place in enumerate(places):
        rows = rows_of(tokens=24, rank=rank, seed=number)[:, : 6 * len(place.blocks)]
        moments = Moments(rows.shape[1])
        moments.add(rows, torch.arange(24) % 4)
        codes[place.name] = fit_code(moments, place.blocks, metric_of(EVEN)).with_step(1e-3)
        tensors |= {name: part.reshape(2, 12, 6) for name, part in codes[place.name].split(rows).items()}
    kinds = ("query", "key", "value", "query_key")
    numbers = dict.fromkeys(kinds, 1.0)
    measured = {"inverse_temperature": numbers, "relative_entropy": numbers, "published_entropy": numbers}
    return AttentionCodec(site=site, places=places, inner=6, heads=2, codes=codes, **measured), tensors


def read_again(codec):
    """The codec that a reader makes of the two halves of a description."""
    described = codec.description()
    steps = {place: code["step"] for place, code in described["codes"].items()}
    kind = kind_of(codec.site)
    return kind.read(codec.site, steps, parse(kind.entry, described, "here"), codec.arrays())


@pytest.mark.parametrize("name", ["encoder.self", "decoder.self", "decoder.cross"])
def test_a_site_comes_back_from_its_columns_and_description(name):
    """Blocks that change places, or Q on the axis of K, have the same shapes and no error to show."""
    site = Site(name, 3)
    codec, tensors = codec_of(site)
    valid = {
        "input": torch.arange(12)[None] < torch.tensor([[12], [7]]),
        "target": torch.arange(12)[None] < torch.tensor([[5], [12]]),
    }
    tokens = {axis: (torch.arange(24) % 5).reshape(2, 12) for axis in valid}
    columns = codec.encode(SiteSample(tensors, valid, tokens))
    again = read_again(codec)
    assert again.description() == codec.description()
    kept = {axis: tokens[axis][valid[axis]] for axis in valid}
    decoded = again.decode({column: values.T for column, values in columns.items()}, kept)
    for kind in KINDS:
        assert torch.allclose(decoded[kind], tensors[kind][valid[axes_at(site)[kind]]], atol=1e-2)
    assert list(columns) == list(codec.columns) == [f"relations.{site}.{place.name}" for place in codec.places]
    for column, place in codec.columns.items():
        assert columns[column].shape == (codec.codes[place.name].rank, int(valid[place.axis].sum()))
        assert columns[column].dtype == torch.int32
    rebuilt = codec.reconstruct(SiteSample(tensors, valid, tokens))
    for kind in KINDS:
        assert torch.allclose(rebuilt[kind], tensors[kind], atol=1e-2)


def test_cross_attention_has_two_codes_on_two_axes():
    """Q lies on target tokens and [K|V] on input tokens; their numbers differ."""
    cross, own = Site("decoder.cross", 0), Site("decoder.self", 0)
    places = kind_of(cross).places(cross)
    assert [(p.name, p.blocks, p.axis) for p in places] == [
        ("query", ("query",), "target"),
        ("key_value", ("key", "value"), "input"),
    ]
    [place] = kind_of(own).places(own)
    assert (place.blocks, place.axis) == (KINDS, "target")


def test_blocks_join_and_split_in_their_order():
    """A silent swap of K and V."""
    tensors = {kind: torch.full((2, 3), float(i)) for i, kind in enumerate(KINDS)}
    code = fitted(rows_of())
    parts = code.split(join_blocks(tensors, ("query", "key", "value")))
    assert {name: float(part[0, 0]) for name, part in parts.items()} == {"query": 0.0, "key": 1.0, "value": 2.0}
