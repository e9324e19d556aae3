"""Calibration: the step meets its target, temperatures reach 0.8, weights follow sensitivity, and all of it repeats."""

from dataclasses import replace

import pytest
import torch

from miniend.errors import ConfigurationError
from miniend.signals.codes.code import join_blocks
from miniend.signals.codes.site_fit import STEP_MARGIN, trim_rank
from miniend.signals.fidelity import MeanOf, head_sample
from miniend.signals.relations.calibration import calibrate_site
from miniend.signals.relations.fidelity import mean_relative_entropy
from support.attention import axes_at, relations_at
from support.low_rank import SITES, TARGET, calibrated, places_of, samples, worst_kl

every_site = pytest.mark.parametrize("site", SITES, ids=str)


@every_site
@pytest.mark.parametrize("target", [1e-2, 1e-3, 1e-4])
def test_the_step_meets_the_target_on_other_examples_and_is_no_smaller_than_it_must(site, target):
    """Too large a step breaks the promise, too small a one pays bytes for nothing, and neither shows."""
    codec = calibrated(site, target=target)
    share = worst_kl(codec, samples(site, 8, 3)) / target
    assert 0.75 < share * STEP_MARGIN < 1.12
    assert share <= 1.02, "eight examples scatter by a few parts in a hundred"


@every_site
def test_twice_the_step_costs_about_four_times_the_kl(site):
    """The search relies on it; a step that is not applied would leave the KL where it is."""
    one, two = (calibrated(site, step=step) for step in (0.1, 0.2))
    kls = [worst_kl(codec, samples(site, 3, 3)) for codec in (one, two)]
    assert kls[1] / kls[0] == pytest.approx(4, rel=0.3)
    assert {code.step for code in two.codes.values()} == {0.2}


@every_site
def test_a_calibration_repeats_to_the_bit(site):
    """Two machines of one kind must write one cache."""
    one, two = calibrated(site, "calibrated"), calibrated(site, "calibrated")
    assert one.description() == two.description()
    for name, array in one.arrays().items():
        assert array.numpy().tobytes() == two.arrays()[name].numpy().tobytes()


@every_site
def test_padding_is_no_part_of_a_calibration(site):
    """A basis that has to explain padding, or a KL averaged over its rows, is worse than it says."""
    clean, spoiled = samples(site, 6, 1), samples(site, 6, 1)
    for sample in spoiled:
        for kind, tensor in sample.tensors.items():
            tensor[~sample.valid[axes_at(site)[kind]]] = 50.0
    fits = [
        calibrate_site(site, places_of(site), given, given[:2], 8, "published", TARGET, None, None)
        for given in (clean, spoiled)
    ]
    for name, code in fits[0].codes.items():
        assert code.mean.tolist() == pytest.approx(fits[1].codes[name].mean.tolist(), abs=1e-6)
        assert code.step == pytest.approx(fits[1].codes[name].step, rel=0.1)


@every_site
def test_temperatures_sharpen_to_four_fifths_and_never_flatten(site):
    """A relation that is sharp already must stay as published."""
    flat, sharp = calibrated(site, "calibrated", scale=0.3), calibrated(site, "calibrated", scale=6.0)
    unseen = samples(site, 4, 5, scale=0.3)
    for relation in relations_at(site):
        assert flat.inverse_temperature[relation.kind] > 1
        assert flat.published_entropy[relation.kind] > 0.9
        assert flat.relative_entropy[relation.kind] == pytest.approx(0.8, abs=0.005)
        assert mean_relative_entropy(relation, unseen, 8, flat.inverse_temperature[relation.kind]) == pytest.approx(
            0.8, abs=0.06
        )
        if sharp.published_entropy[relation.kind] <= 0.8:
            assert sharp.inverse_temperature[relation.kind] == 1.0
    assert any(entropy <= 0.8 for entropy in sharp.published_entropy.values())
    assert worst_kl(flat, unseen) <= TARGET


def test_published_relations_keep_a_factor_of_one():
    """The default must be the papers' relation."""
    assert set(calibrated(SITES[2], scale=0.3).inverse_temperature.values()) == {1.0}


def test_a_rank_is_kept_to_and_a_fixed_step_is_taken_as_it_is():
    """What was asked for must not be searched for."""
    codec = calibrated(SITES[0], step=0.01, rank=3)
    assert {(code.rank, code.step) for code in codec.codes.values()} == {(3, 0.01)}


def test_components_that_always_round_to_zero_are_left_out():
    """They cost headers and time and say nothing; but what is left out must indeed be zero."""
    site = SITES[0]
    codec, given = calibrated(site, step=0.01), samples(site, 2, 7)
    [code] = codec.codes.values()
    valid = [sample.valid["input"] for sample in given]
    rows = [join_blocks(sample.tensors, code.blocks)[kept] for sample, kept in zip(given, valid, strict=True)]
    tokens = [sample.tokens["input"][kept] for sample, kept in zip(given, valid, strict=True)]
    peaks = code.coefficients(torch.cat(rows), torch.cat(tokens)).abs().amax(0)
    step, silent = 2.01 * float(peaks[4:].max()), torch.zeros_like(code.token_means)
    coarse = codec.replaced({"query_key_value": replace(code.with_step(step), token_means=silent)})
    trimmed = trim_rank(coarse, given)
    assert 1 <= trimmed.codes["query_key_value"].rank <= 4 < coarse.codes["query_key_value"].rank
    for sample in given:
        one, two = coarse.reconstruct(sample), trimmed.reconstruct(sample)
        for kind in one:
            valid = sample.valid["input"]
            assert torch.allclose(one[kind][valid], two[kind][valid], atol=1e-4)
    silent[2, 6] = 0.51 * step
    speaking = codec.replaced({"query_key_value": replace(code.with_step(step), token_means=silent)})
    assert trim_rank(speaking, given).codes["query_key_value"].rank == 7
    everything = trim_rank(codec.replaced({n: c.with_step(1e6) for n, c in codec.codes.items()}), given)
    assert everything.codes["query_key_value"].rank == 1


def test_neither_target_nor_step_is_refused():
    """A step of one would be taken for an answer."""
    with pytest.raises(ConfigurationError, match="either a target KL or a step"):
        calibrated(SITES[0], target=None)


def test_means_of_parts_add_up_and_nothing_is_zero():
    """A mean of means weighs a short last shard like a whole one."""
    mean = MeanOf()
    assert mean.mean == 0.0
    mean.add(4.0, 1)
    mean.add(2.0, 5)
    assert mean.mean == 1.0


def test_the_first_examples_of_a_list_are_taken_one_by_one():
    """A probe of whole batches would depend on the batch size."""
    given = samples(SITES[0], 2)
    taken = head_sample(given, 4)
    assert len(taken) == 4
    assert torch.equal(taken[3].tensors["key"], given[1].tensors["key"][:1])
    assert taken[1].valid["input"].shape == (1, 24)
