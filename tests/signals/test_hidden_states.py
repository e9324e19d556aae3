"""Hidden states: the step meets its target on other examples, measured about the mean, and all of it repeats."""

import pytest
import torch

from miniend.errors import ConfigurationError
from miniend.signals.codes.site_fit import STEP_MARGIN, with_step
from miniend.signals.fidelity import SiteSample
from miniend.signals.hidden_states import NORMALIZED, RAW, calibrate_hidden, measured_error, relative_error
from miniend.signals.kinds import kind_of
from miniend.signals.kinds.kind import CodesOnly
from miniend.signals.relations.codec import AttentionCodec
from miniend.signals.sites import Site

TARGET = 1e-3
SITES = [Site("encoder.hidden", 1), Site("decoder.hidden", 0)]
every_site = pytest.mark.parametrize("site", SITES, ids=str)
CONSTANT = torch.tensor([500.0, -90.0, *[0.0] * 14])
"""As in T5, whose states have directions far larger than what they vary by."""


def samples(batches, seed, padding=0.0):
    """States of 16 numbers: a constant, a part that follows the token, and noise of falling strength."""
    table = torch.randn(9, 16, generator=torch.Generator().manual_seed(99))
    generator, strength = torch.Generator().manual_seed(seed), torch.logspace(0, -2, 16)
    found = []
    for _ in range(batches):
        valid = {axis: torch.arange(20)[None] < torch.tensor([20, 17, 9])[:, None] for axis in ("input", "target")}
        tokens = {axis: torch.randint(9, (3, 20), generator=generator) for axis in valid}
        noise = torch.randn(3, 20, 16, generator=generator)
        states = CONSTANT + strength * (noise + table[tokens["input"]])
        states[~valid["input"]] += padding
        found.append(SiteSample({"hidden": states}, valid, tokens | {"target": tokens["input"]}))
    return found


def fitted(site=SITES[0], target=TARGET, padding=0.0):
    return calibrate_hidden(site, place_of(site), samples(8, 1, padding), samples(8, 2, padding), target)


def place_of(site):
    [place] = kind_of(site).places(site)
    return place


def error(codec, seed=3):
    return relative_error(measured_error(codec, samples(8, seed)))


@every_site
@pytest.mark.parametrize("target", [0.5, 1e-2, 1e-3, 1e-5])
def test_the_step_meets_the_target_on_other_examples_and_is_no_smaller_than_it_must(site, target):
    """Too large a step breaks the promise, too small a one pays bytes for nothing, and neither shows."""
    codec = fitted(site, target)
    assert 0.75 / STEP_MARGIN < error(codec) / target <= 1.0


def test_eight_times_the_step_misses_it():
    """A measure that does not feel the step would pass anything."""
    codec = fitted()
    assert error(with_step(codec, 8 * codec.codes["hidden"].step)) > 8 * TARGET


def test_the_error_is_by_hand_that_of_the_rows_about_the_mean():
    """Against the energy about zero, the constant alone would look like a faithful cache."""
    codec = fitted()
    [sample] = samples(1, 5)
    valid = sample.valid["input"]
    rows, back = sample.tensors["hidden"][valid], codec.reconstruct(sample)["hidden"][valid]
    by_hand = (back - rows).square().sum() / (rows - codec.codes["hidden"].mean).square().sum()
    found = measured_error(codec, [sample])
    assert relative_error(found) == pytest.approx(float(by_hand), rel=1e-4)
    assert {kind: part.count for kind, part in found.items()} == dict.fromkeys((*RAW, *NORMALIZED), 46)
    silent = with_step(codec, 1e6)
    code = silent.codes["hidden"]
    silent = silent.replaced({"hidden": type(code)(**_fields(code) | {"token_means": 0 * code.token_means})})
    assert relative_error(measured_error(silent, [sample])) == pytest.approx(1.0)


def _fields(code):
    return {name: getattr(code, name) for name in code.__dataclass_fields__}


def test_constant_states_have_no_error_to_speak_of():
    """Nothing divided by nothing; and the search must end."""
    constant = [
        SiteSample({"hidden": CONSTANT.expand(3, 20, 16).clone()}, sample.valid, sample.tokens)
        for sample in samples(2, 1)
    ]
    codec = calibrate_hidden(SITES[0], place_of(SITES[0]), constant, constant, TARGET)
    assert relative_error(measured_error(codec, constant)) == 0.0


@every_site
def test_a_calibration_repeats_to_the_bit_and_comes_back_from_its_description(site):
    """Two machines of one kind must write one cache; a reader has the two halves alone."""
    one, two = fitted(site), fitted(site)
    steps = {place: code["step"] for place, code in one.description()["codes"].items()}
    again = kind_of(site).read(site, steps, CodesOnly(), one.arrays())
    for name, array in one.arrays().items():
        assert array.numpy().tobytes() == two.arrays()[name].numpy().tobytes() == again.arrays()[name].numpy().tobytes()
    assert one.description() == two.description() == again.description()
    [(column, place)] = one.columns.items()
    assert (column, place.axis) == (f"hidden.{site}", {"encoder": "input", "decoder": "target"}[site.stack])
    assert not isinstance(again, AttentionCodec), "a site that has no relations must not be asked for them"


@every_site
def test_padding_is_no_part_of_it(site):
    """A basis that has to explain padding, or an error averaged over it, is worse than it says."""
    clean, spoiled = fitted(site), fitted(site, padding=50.0)
    for name, array in clean.arrays().items():
        assert array.numpy().tobytes() == spoiled.arrays()[name].numpy().tobytes()
    assert clean.description() == spoiled.description()
    states = [codec.encode(samples(1, 4, padding)[0]) for codec, padding in ((clean, 0.0), (clean, 50.0))]
    assert all(torch.equal(one, states[1][name]) for name, one in states[0].items())


def test_a_target_beyond_float32_is_refused_with_what_to_do():
    """The search would end at a step whose integers say nothing more."""
    with pytest.raises(ConfigurationError, match=r"no step reaches a relative squared error of 1e-16 .*--hidden-error"):
        fitted(target=1e-16)
