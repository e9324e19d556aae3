"""What calibration and shards record of an attention site: errors of Q, K and V, and the KL at every number of heads."""

from dataclasses import replace

import pytest
import torch

from miniend.signals.fidelity import SpreadOf
from miniend.signals.relations.measures import kls_by_heads, measure_names, measured, tensor_errors, worst_relation
from miniend.signals.relations.relations import STUDENT_HEADS, student_heads
from support.attention import axes_at, relations_at
from support.low_rank import SITES, calibrated, samples


@pytest.mark.parametrize("site", SITES, ids=str)
def test_the_errors_are_those_of_the_decoded_tensors_about_the_mean_row_without_padding(site):
    """By hand: whoever matches Q, K and V themselves must know what the cache has lost of them."""
    codec, unseen = calibrated(site, step=0.4), samples(site, 2, 3)
    for sample in unseen:
        for kind, tensor in sample.tensors.items():
            tensor[~sample.valid[axes_at(site)[kind]]] = 40.0
    means = {name: block for code in codec.codes.values() for name, block in code.split(code.mean).items()}
    expected = {}
    for kind, axis in axes_at(site).items():
        valid = [sample.valid[axis] for sample in unseen]
        exact = torch.cat([sample.tensors[kind][kept] for sample, kept in zip(unseen, valid, strict=True)])
        decoded = torch.cat([codec.reconstruct(sample)[kind][kept] for sample, kept in zip(unseen, valid, strict=True)])
        expected[kind] = float(((exact - decoded) ** 2).sum() / ((exact - means[kind]) ** 2).sum())
    assert tensor_errors(measured(codec, unseen)) == pytest.approx(expected, rel=1e-4)
    assert min(expected.values()) > 1e-4


@pytest.mark.parametrize("site", SITES, ids=str)
@pytest.mark.parametrize("spread", [False, True])
def test_everything_that_is_named_is_measured_and_nothing_else(site, spread):
    """A reader refuses a document whose measures are not those of the kind."""
    found = measured(replace(calibrated(site, step=0.4), heads=16), samples(site, 1, 3), spread)
    kinds = [relation.kind for relation in relations_at(site)]
    assert set(found) == measure_names(kinds, 16)
    assert {f"{kind} at 8" for kind in kinds} < set(found)
    assert all(isinstance(found[kind], SpreadOf) is spread for kind in kinds)


def test_the_worst_relation_is_found_at_any_number_of_heads():
    """The first or the last of them would hide it."""
    kls = {"query": {16: 1e-4, 8: 2e-4}, "key": {16: 3e-4, 8: 1e-4}, "value": {16: 2e-4, 8: 1e-4}}
    worst = worst_relation(kls)
    assert (worst.kind, worst.heads, worst.kl) == ("key", 16, 3e-4)


def test_measures_of_several_samples_add_up():
    """A mean of means would weigh a short example like a long one."""
    codec, unseen = calibrated(SITES[2], step=0.4), samples(SITES[2], 2, 3)
    whole, parts = measured(codec, unseen), [measured(codec, [sample]) for sample in unseen]
    for name, mean in whole.items():
        assert mean.count == sum(part[name].count for part in parts)
        assert mean.total == pytest.approx(sum(part[name].total for part in parts))
    kls = kls_by_heads(codec, whole)
    assert list(kls) == ["query", "key", "value", "query_key"]
    assert {tuple(by_heads) for by_heads in kls.values()} == {(16, 8)}


@pytest.mark.parametrize(
    "inner", [1, 5, 7, 12, 16, 24, 36, 40, 48, 60, 64, 96, 144, 192, 256, 384, 512, 768, 1024, 4096, 16384]
)
def test_the_numbers_of_heads_divide_the_width_and_the_least_divides_the_greatest(inner):
    """The sensitivity puts forms of the most heads into groups of the fewest."""
    numbers = student_heads(inner)
    assert list(numbers) == sorted(numbers, reverse=True)
    assert all(inner % heads == 0 for heads in numbers)
    assert numbers[0] % numbers[-1] == 0
    if inner % 8 == 0:
        assert numbers == tuple(heads for heads in STUDENT_HEADS if inner % heads == 0)
