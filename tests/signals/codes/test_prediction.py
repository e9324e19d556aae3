"""Prediction from the layer below: every layer within its target, at fewer bytes, decoded upwards and each layer once."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from miniend.signals.codes.prediction import chain_of, decode_chain, fit_prediction
from miniend.signals.fidelity import SiteSample
from miniend.signals.hidden_states import NORMALIZED, calibrate_hidden, measured_error, relative_error
from miniend.signals.kinds import kind_of
from miniend.signals.matching.row_norms import over_rms
from miniend.signals.sites import Site

AXIS = {"encoder": "input", "decoder": "target"}
TOKENS = 7


def place_of(site):
    [place] = kind_of(site).places(site)
    return place


def stack(layers, width, batches, seed, block=0.3, huge=0.0):
    """Samples by layer: each layer is the one below plus a block's output, with padding, and token ids that say something."""
    fixed, generator = torch.Generator().manual_seed(5), torch.Generator().manual_seed(seed)
    table = torch.randn(TOKENS, width, generator=fixed)
    maps = [torch.randn(width, width, generator=fixed) * width**-0.5 for _ in range(layers)]
    found = [[] for _ in range(layers)]
    for _ in range(batches):
        valid = torch.arange(20)[None] < torch.tensor([20, 13, 4])[:, None]
        tokens = torch.randint(TOKENS, (3, 20), generator=generator)
        states = table[tokens] + 0.5 * torch.randn(3, 20, width, generator=generator)
        states[..., 0] += huge
        for layer, weight in enumerate(maps):
            states = (
                states + block * torch.tanh(states @ weight) + 0.05 * torch.randn(3, 20, width, generator=generator)
            )
            kept = torch.where(valid[..., None], states, 40.0)
            masks, ids = ({"input": one, "target": one} for one in (valid, tokens))
            found[layer].append(SiteSample({"hidden": kept}, masks, ids))
    return found


def on_top_of(codec, under, samples):
    """The samples with the decoded states of the layer below."""
    return [
        replace(sample, below=codec.decoded(codec.encode(one), one)) for one, sample in zip(under, samples, strict=True)
    ]


def chained(sites, basis, chosen_on, error, predicted=True):
    """The codecs of a stack, each fitted on the decoded layer below, and the step samples as they were fitted."""
    codecs, fitted = [], []
    for layer, site in enumerate(sites):
        below = codecs[-1].site if codecs and predicted else None
        parts = [basis[layer], chosen_on[layer]]
        if below:
            parts = [on_top_of(codecs[-1], *pair) for pair in zip(fitted[-1], parts, strict=True)]
        fitted.append(parts)
        codecs.append(calibrate_hidden(site, place_of(site), *parts, error, below))
    return codecs, [parts[1] for parts in fitted]


def coded_chain(codecs, layers):
    """The integers of a stack's samples, as a writer makes them: columns by batch, and the states that they decode to."""
    columns = []
    decoded = [[] for _ in codecs]
    for batch in zip(*layers, strict=True):
        own, below = {}, {}
        for layer, (codec, sample) in enumerate(zip(codecs, batch, strict=True)):
            placed = replace(sample, below=below if codec.predicted_from else {})
            own |= (made := codec.encode(placed))
            below = codec.decoded(made, placed)
            decoded[layer].append((placed, below["hidden"]))
        columns.append(own)
    return columns, decoded


def bits(codecs, layers):
    """Order-0 entropy of all integers, in bits per token."""
    columns, _ = coded_chain(codecs, layers)
    total = 0.0
    for name in columns[0]:
        for row in torch.cat([own[name] for own in columns], dim=1).numpy():
            shares = np.unique(row, return_counts=True)[1] / row.size
            total -= float((shares * np.log2(shares)).sum())
    return total


@given(
    st.integers(1, 4),
    st.sampled_from([4, 9]),
    st.sampled_from([1e-1, 1e-2, 1e-4]),
    st.sampled_from([0.0, 300.0]),
    st.sampled_from(["encoder", "decoder"]),
    st.integers(0, 10**6),
)
@settings(max_examples=8, deadline=None)
def test_every_layer_of_any_stack_is_within_its_target_by_a_reader_that_decodes_upwards(
    layers, width, error, huge, side, seed
):
    """Errors that add up would spoil the upper layers, which students learn most from. One layer is a chain too, and gaps are."""
    sites = [Site(f"{side}.hidden", 3 * layer + 1) for layer in range(layers)]
    basis, chosen_on = (stack(layers, width, 5, seed + part, huge=huge) for part in range(2))
    codecs, fitted = chained(sites, basis, chosen_on, error)
    by_name = {str(codec.site): codec for codec in codecs}
    columns, _ = coded_chain(codecs, chosen_on)
    lost, energy = torch.zeros(layers), torch.zeros(layers)
    for own, batch in zip(columns, zip(*chosen_on, strict=True), strict=True):
        valid = batch[0].valid[AXIS[side]]
        tokens = {axis: ids[valid] for axis, ids in batch[0].tokens.items()}
        read = decode_chain(by_name, by_name, {name: column.T for name, column in own.items()}, tokens)
        for layer, codec in enumerate(codecs):
            rows = batch[layer].tensors["hidden"][valid]
            lost[layer] += (read[str(codec.site)]["hidden"] - rows).square().sum()
            energy[layer] += (rows - codec.centres[0]).square().sum()
    assert (lost / energy <= error).all()
    for layer, codec in enumerate(codecs):
        told = relative_error(measured_error(codec, fitted[layer]))
        assert told == pytest.approx(float(lost[layer] / energy[layer]), rel=1e-2)


def test_further_layers_cost_a_fraction_of_the_first():
    """Nothing else would be gained by the format's new version."""
    sites = [Site("encoder.hidden", layer) for layer in range(4)]
    parts = [stack(4, 12, 8, seed, block=0.2) for seed in range(2)]
    together, apart = (chained(sites, *parts, 1e-2, predicted)[0] for predicted in (True, False))
    assert [codec.predicted_from for codec in together] == [None, *sites[:3]]
    assert {codec.predicted_from for codec in apart} == {None}
    assert bits(together, parts[1]) < 0.6 * bits(apart, parts[1])


def test_a_reader_of_one_layer_decodes_exactly_the_layers_below_it():
    """What it needs from the store is these columns, and no layer twice."""
    sites = [Site("encoder.hidden", layer) for layer in (0, 2, 3)]
    parts = [stack(3, 6, 3, seed) for seed in range(2)]
    codecs = {str(codec.site): codec for codec in chained(sites, *parts, 1e-2)[0]}
    other = Site("decoder.hidden", 1)
    codecs[str(other)] = calibrate_hidden(other, place_of(other), parts[0][2], parts[1][2], 1e-2)
    one, two, three = (str(site) for site in sites)
    assert chain_of(codecs, [three]) == [one, two, three]
    assert chain_of(codecs, [str(other), two]) == [one, two, str(other)]
    assert chain_of(codecs, []) == []
    with pytest.raises(KeyError):
        chain_of(codecs, ["encoder.hidden@1"])
    columns, tokens = coded_chain([codecs[name] for name in (one, two, three)], parts[1])[0][0], {}
    valid = parts[1][0][0].valid["input"]
    tokens = {"input": parts[1][0][0].tokens["input"][valid]}
    asked = Watched({name: column.T for name, column in columns.items()})
    found = decode_chain(codecs, [two], asked, tokens)
    assert (list(found), asked.read) == ([two], [f"hidden.{one}", f"hidden.{two}"])


class Watched(dict):
    """Columns that know which of them were read."""

    def __init__(self, columns):
        super().__init__(columns)
        self.read = []

    def __getitem__(self, name):
        self.read.append(name)
        return super().__getitem__(name)


def test_a_predicted_layer_is_not_decoded_without_the_layer_below():
    """What its column holds would pass for states."""
    sites = [Site("decoder.hidden", layer) for layer in range(2)]
    parts = [stack(2, 6, 3, seed) for seed in range(2)]
    _, upper = chained(sites, *parts, 1e-2)[0]
    sample = parts[1][1][0]
    with pytest.raises(
        ValueError, match=r"decoder.hidden@1 is predicted from decoder.hidden@0: give its decoded tensors"
    ):
        upper.encode(sample)
    tokens = {"target": torch.zeros(2, dtype=torch.int64)}
    with pytest.raises(ValueError, match="give its decoded tensors"):
        upper.decode({"hidden.decoder.hidden@1": torch.zeros(2, upper.codes["hidden"].rank)}, tokens)


def test_the_prediction_is_the_least_squares_map_about_the_means():
    """About zero, the huge constant directions of a T5 would take all of it."""
    below, rows = stack(2, 5, 4, 3, huge=100.0)
    samples = [replace(one, below=under.tensors) for one, under in zip(rows, below, strict=True)]
    place = place_of(Site("encoder.hidden", 1))
    a, x = (
        torch.cat([one.tensors["hidden"][one.valid["input"]] for one in side]).double().numpy()
        for side in (below, rows)
    )
    expected = np.linalg.lstsq(a - a.mean(0), x - x.mean(0), rcond=None)[0]
    np.testing.assert_allclose(fit_prediction(place, samples).numpy(), expected, rtol=0, atol=1e-4)
    constant = [replace(one, below={"hidden": torch.full_like(one.tensors["hidden"], 3.0)}) for one in rows]
    assert fit_prediction(place, constant).abs().max() < 1e-3, "a constant says nothing"


def test_padding_and_repeats_do_not_change_a_chain():
    """A calibration must be the same bytes wherever it is made."""
    sites = [Site("encoder.hidden", layer) for layer in range(2)]
    basis, chosen_on = (stack(2, 6, 3, seed) for seed in range(2))
    one, again = (chained(sites, basis, chosen_on, 1e-2)[0][1] for _ in range(2))
    moved = [
        [
            replace(s, tensors={"hidden": torch.where(s.valid["input"][..., None], s.tensors["hidden"], -7.0)})
            for s in part
        ]
        for part in basis
    ]
    spoiled = chained(sites, moved, chosen_on, 1e-2)[0][1]
    assert one.description() == again.description() == spoiled.description()
    for name, array in one.arrays().items():
        assert (
            array.numpy().tobytes()
            == again.arrays()[name].numpy().tobytes()
            == spoiled.arrays()[name].numpy().tobytes()
        )
    assert f"{sites[1]}.hidden.prediction" in one.arrays()


def test_the_error_over_the_rms_is_by_hand_that_of_normalized_states():
    """Weak tokens count more in it; a student that is trained on n(x) meets this error."""
    sites = [Site("encoder.hidden", layer) for layer in range(2)]
    basis, chosen_on = (stack(2, 6, 3, seed) for seed in range(2))
    codecs, fitted = chained(sites, basis, chosen_on, 1e-2)
    for codec, samples in zip(codecs, fitted, strict=True):
        lost = energy = 0.0
        for sample in samples:
            valid = sample.valid["input"]
            x, y = sample.tensors["hidden"][valid], codec.decoded(codec.encode(sample), sample)["hidden"][valid]
            n, m = (part / part.square().mean(-1, keepdim=True).sqrt() for part in (x, y))
            lost, energy = lost + (m - n).square().sum(), energy + (n - codec.centres[1]).square().sum()
        assert relative_error(measured_error(codec, samples), NORMALIZED) == pytest.approx(
            float(lost / energy), rel=1e-3
        )
    of_basis = torch.cat([over_rms(s.tensors["hidden"][s.valid["input"]].float()) for s in basis[1]]).mean(0)
    assert torch.allclose(codecs[1].centres[1], of_basis, atol=1e-5)
    assert torch.equal(over_rms(torch.zeros(2, 3)), torch.zeros(2, 3))
