"""The term of TED: against the teacher's filtered states, by its definition; which filters meet which layers."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

import miniend
from miniend.errors import CacheMismatchError
from miniend.signals.filters.filter import FILTERED
from miniend.signals.sites import Site
from miniend.student_train.config import TrainConfig
from miniend.student_train.reading.loader import in_order
from miniend.student_train.terms.filtered import paired
from support.filtering import filtered_copy
from support.setups import set_up_alone


@pytest.fixture(scope="module")
def cache(layers_home, tmp_path_factory):
    """All layers of states nearly without loss, with a filter of every layer, 12 of 32 numbers each."""
    return miniend.open_cache(filtered_copy(layers_home, tmp_path_factory.mktemp("filtered")) / "cache")


def prepare(cache, **settings):
    """A student of filtered states."""
    config = TrainConfig(
        cache=cache.path, output=cache.path.local / "unused", objective="ted", device="cpu", **settings
    )
    return set_up_alone(config, cache)


def sums_of(setup):
    batch = next(in_order(setup.feed.training, 6))
    with torch.no_grad():
        return setup.distillation(batch, setup.feed.decoder.decode(batch)), setup.distillation.counts(batch)


def test_a_student_that_is_its_teacher_with_its_filters_has_no_error(cache, layers_home):
    """Every part at once: the filters of the right layers, on the right states, in the gauge in which they are stored."""
    setup = prepare(cache, init=str(layers_home / "teacher"))
    for _, term in setup.distillation.each_term():
        for match in getattr(term, "matches", ()):
            with torch.no_grad():
                term.maps[match.part].weight.copy_(cache.filters[str(match.pair.teacher)].weight)
                term.maps[match.part].bias.copy_(cache.filters[str(match.pair.teacher)].bias)
    sums, counts = sums_of(setup)
    found = {name: float(value) / counts[name] for name, value in sums.items() if "filtered" in name}
    assert len(found) == 8
    assert max(found.values()) < 1e-4, found


def test_each_part_is_the_squared_error_over_the_centred_energy_of_the_teachers_filtered_states(cache):
    """Written down again with numpy, from what `open_cache` decodes."""
    setup = prepare(cache, size="2L32H")
    batch = next(in_order(setup.feed.training, 6))
    signals = setup.feed.decoder.decode(batch)
    sums, _ = sums_of(setup)
    for stack, axis in (("encoder", "input"), ("decoder", "target")):
        term = setup.distillation.terms[f"{stack}_filtered"]
        for match in term.matches:
            one, rows = cache.filters[str(match.pair.teacher)], batch.valid[axis]
            example = cache.training[0]
            states = torch.as_tensor(example.hidden[str(match.pair.teacher)])
            normed = states / (states.square().mean(-1, keepdim=True) + 1e-6).sqrt()
            expected = normed @ one.weight.T + one.bias
            z = signals.sites[str(match.pair.teacher)][FILTERED]
            assert torch.allclose(z[0][rows[0]], expected, atol=1e-4)
            assert float(sums[f"{stack}_filtered.{match.part}"]) > 0


def test_the_filters_are_parameters_that_train_and_are_exported(cache, tmp_path):
    run = miniend.train_student(
        cache=cache,
        output=tmp_path / "s",
        objective="ted",
        size="2L32H",
        steps=2,
        batch_size=4,
        device="cpu",
        quiet=True,
    )
    exported = load_file(tmp_path / "s" / "projections.safetensors")
    assert run.losses["encoder_filtered"] > 0
    assert len(exported) == 8  # two student layers, two stacks, weight and bias
    assert all(tensor.shape[0] == 12 for tensor in exported.values())


def test_a_cache_without_filters_is_told_how_to_get_them(layers_home):
    cache = miniend.open_cache(layers_home / "cache")
    with pytest.raises(
        CacheMismatchError, match=r"needs filters of encoder.hidden, .* has none; add them with: miniend filters"
    ):
        prepare(cache, size="2L32H")


@given(st.integers(1, 12), st.integers(1, 12))
def test_filters_and_student_layers_meet_in_order_up_to_the_last_of_both(depth, count):
    pairs = paired([Site("encoder.hidden", layer) for layer in range(count)], depth)
    own, theirs = [one for one, _ in pairs], [site.layer for _, site in pairs]
    assert len(pairs) == min(depth, count)
    assert own == sorted(set(own))
    assert theirs == sorted(set(theirs))
    assert (own[-1], theirs[-1]) == (depth - 1, count - 1)


def test_a_student_of_fewer_layers_than_filters_learns_from_those_at_equal_distances():
    pairs = paired([Site("decoder.hidden", layer) for layer in (1, 3, 5, 7, 9, 11)], 3)
    assert [(own, site.layer) for own, site in pairs] == [(0, 3), (1, 7), (2, 11)]
