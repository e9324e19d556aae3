"""Terms of hidden states: which layers, over what, through which map, and what a wrong implementation would give."""

import numpy as np
import pytest
import torch

from miniend.errors import CacheMismatchError, ConfigurationError
from miniend.signals.taps import tapped
from miniend.student_train.config import TrainConfig
from miniend.student_train.reading.loader import in_order
from miniend.student_train.reading.teacher_signals import TeacherSignals
from miniend.student_train.run.unreached import summarise_unreached
from support.setups import set_up_alone, sums_of, terms_of

WIDER = "2L64H"
NAMES = ("encoder_hidden", "decoder_hidden")


def prepare(cache, size=WIDER, **settings):
    """A student of hidden states; one that starts from a checkpoint has its own size."""
    settings = {"objective": "hidden", "device": "cpu", "size": None if "init" in settings else size, **settings}
    return set_up_alone(TrainConfig(cache=cache.path, output=cache.path.local / "unused", **settings), cache)


def all_of(setup):
    """The batch of all training examples."""
    return next(in_order(setup.feed.training, setup.feed.training.layout.total))


def parts_of(setup, batch, signals=None):
    """The mean of every part, with the teacher's signals of the cache unless given."""
    distillation = setup.distillation
    with torch.no_grad():
        sums = distillation(batch, signals or setup.feed.decoder.decode(batch))
    return distillation.part_means({name: one.item() for name, one in sums.items()}, distillation.counts(batch))


def live(setup, batch):
    """What the student itself gives in the place of the teacher, from hooks of this test's own."""
    student, kept, hooks = setup.student, {}, []
    for name, stack in (("encoder", student.encoder), ("decoder", student.decoder)):
        for layer, block in enumerate(stack.block):

            def keep(_module, _inputs, output, site=f"{name}.hidden@{layer}"):
                kept[site] = {"hidden": output[0] if isinstance(output, tuple) else output}

            hooks.append(block.register_forward_hook(keep))
    given = setup.distillation.family.given(batch.ids, setup.distillation.special)
    with torch.no_grad():
        setup.distillation.family.run(student, given, batch.valid)
    for hook in hooks:
        hook.remove()
    return TeacherSignals(kept, {})


def constant(setup):
    """Make every map the best constant: W = 0 and b as it starts, the mean of the targets."""
    with torch.no_grad():
        for name, parameter in setup.distillation.terms.named_parameters():
            if name.endswith("weight"):
                parameter.zero_()


@pytest.mark.parametrize("norm", ["rms", "none"])
def test_a_student_that_is_its_teacher_has_no_error_beside_it_and_that_of_the_cache_from_a_cache(
    layers, layers_home, norm
):
    """The identity at equal widths: a random map here would undo the start of a student of teacher layers."""
    setup = prepare(layers, init=str(layers_home / "teacher"), mapping="all", hidden_norm=norm)
    assert not list(setup.distillation.terms.parameters())
    batch = all_of(setup)
    assert parts_of(setup, batch, live(setup, batch)) == pytest.approx(
        dict.fromkeys(parts_of(setup, batch), 0.0), abs=1e-12
    )
    for name, value in parts_of(setup, batch).items():
        assert 0 < value < (1.7 if norm == "rms" else 1.1) * 1e-6, name


@pytest.mark.parametrize("norm", ["rms", "none"])
def test_the_best_constant_has_the_value_one_in_every_part(layers, norm):
    """Divided by an energy that is not centred, it would have half of that, and a part would not say what it promises."""
    setup = prepare(layers, mapping="consecutive", hidden_norm=norm)
    constant(setup)
    values = parts_of(setup, all_of(setup))
    assert values == pytest.approx(dict.fromkeys(values, 1.0), rel=1e-5)
    assert list(values) == [f"{name}.{pair}" for name in NAMES for pair in ("1-1", "1-2", "2-3", "2-4")]
    held_out = next(in_order(setup.feed.validation, setup.feed.validation.layout.total))
    assert np.mean(list(parts_of(setup, held_out).values())) == pytest.approx(1.0, rel=0.1)
    uncentred = [
        statistics.energy / (statistics.energy + float(statistics.mean.square().sum()))
        for statistics in setup.feed.statistics.values()
    ]
    assert min(uncentred) < 0.9, "the teacher's states need a mean, or centring them could be left out unnoticed"


def test_the_site_is_the_last_block_s_output_and_not_transformers_last_hidden_state(layers):
    """transformers applies the final norm to the last of its hidden states, and to no other."""
    setup = prepare(layers, mapping="last")
    batch = all_of(setup)
    sites = [pair.student for term in setup.distillation.terms.values() for pair in term.pairs]
    with torch.no_grad(), tapped(setup.student, sites) as taps:
        out = setup.student(
            input_ids=batch.ids["input"],
            attention_mask=batch.valid["input"].long(),
            labels=batch.labels,
            output_hidden_states=True,
        )
    hooked = live(setup, batch).sites
    for stack, states in (("encoder", out.encoder_hidden_states), ("decoder", out.decoder_hidden_states)):
        site = f"{stack}.hidden@1"
        assert torch.equal(taps[site]["hidden"], hooked[site]["hidden"])
        apart = (taps[site]["hidden"] - states[-1]).norm() / states[-1].norm()
        assert apart > 0.1


def test_padding_changes_nothing_and_the_decoder_s_first_position_counts(layers):
    """The first id that the decoder is given is the id of padding; who masks by ids loses one position of each example."""
    setup = prepare(layers, mapping="uniform")
    lengths = [len(layers[number].labels) for number in range(8)]
    together, each = next(in_order(setup.feed.training, 8)), []
    for number, batch in zip(range(8), in_order(setup.feed.training, 1), strict=False):
        each.append({name: value.item() for name, value in sums_of(setup, batch).items()})
        assert setup.distillation.counts(batch)["decoder_hidden.1-2"] == lengths[number]
    assert len(set(lengths)) > 1
    for name, value in sums_of(setup, together).items():
        assert value.item() == pytest.approx(sum(one[name] for one in each), rel=1e-5)


@pytest.mark.parametrize(
    ("norm", "scale", "same"), [("rms", "energy", True), ("rms", "mean", True), ("none", "mean", False)]
)
def test_a_teacher_layer_of_ten_times_the_scale_counts_alike(layers, norm, scale, same):
    """The stream of a T5 grows with depth; a loss that feels it is a loss of the deepest layer."""
    setup = prepare(layers, mapping="last", hidden_norm=norm, hidden_scale=scale)
    batch = all_of(setup)
    before = parts_of(setup, batch)["encoder_hidden.2-4"]
    signals = setup.feed.decoder.decode(batch)
    signals.sites["encoder.hidden@3"]["hidden"].mul_(10)
    after = parts_of(setup, batch, signals)["encoder_hidden.2-4"]
    assert (after == pytest.approx(before, rel=1e-4)) is same


def test_without_a_norm_the_energy_and_the_mean_follow_the_scale(layers):
    """W and b follow too; then the part is what it was."""
    setup = prepare(layers, mapping="last", hidden_norm="none")
    batch = all_of(setup)
    before = parts_of(setup, batch)["encoder_hidden.2-4"]
    signals = setup.feed.decoder.decode(batch)
    signals.sites["encoder.hidden@3"]["hidden"].mul_(10)
    term = setup.distillation.terms["encoder_hidden"]
    with torch.no_grad():
        term.metric.div_(100)
        for parameter in term.parameters():
            parameter.mul_(10)
    assert parts_of(setup, batch, signals)["encoder_hidden.2-4"] == pytest.approx(before, rel=1e-4)


def test_a_batch_in_parts_has_the_gradients_of_the_whole(layers):
    """A mean of means weighs the tokens of short examples more."""
    setup = prepare(layers, mapping="uniform+last")
    distillation, found = setup.distillation, []
    counts = distillation.counts(next(in_order(setup.feed.training, 12)))
    for pieces in (1, 2, 4):
        distillation.zero_grad()
        for _, piece in zip(range(pieces), in_order(setup.feed.training, 12 // pieces), strict=False):
            distillation.total(sums_of(setup, piece), counts).backward()
        found.append({name: parameter.grad.clone() for name, parameter in distillation.trained()})
    for other in found[1:]:
        for name, gradient in found[0].items():
            assert torch.allclose(other[name], gradient, rtol=1e-3, atol=1e-6), name


@pytest.mark.parametrize(
    ("stacks", "unreached"),
    [
        ("both", {"decoder final norm", "output head"}),
        ("encoder", {"decoder final norm", "output head", "encoder final norm"}),
    ],
)
def test_the_last_states_reach_all_but_what_follows_them(layers, stacks, unreached):
    """Relations leave out the last feed-forward; states do not."""
    setup = prepare(layers, mapping="last", stacks=stacks)
    lines = summarise_unreached(setup.unreached, setup.distillation.family)
    of_decoder = [line for line in lines if line.startswith("decoder block")]
    assert len(of_decoder) == (0 if stacks == "both" else 2)
    assert set(setup.distillation.terms) == {name for name in NAMES if stacks in ("both", name.partition("_")[0])}
    assert {line for line in lines if line not in of_decoder} >= unreached


@pytest.mark.parametrize(
    ("settings", "shapes"),
    [
        ({"size": WIDER}, {"maps.1-2.weight", "maps.1-2.bias", "maps.2-4.weight", "maps.2-4.bias"}),
        ({"size": "2L32H"}, set()),
        (
            {"size": "2L32H", "projection": "always"},
            {f"maps.{k}.{p}" for k in ("1-2", "2-4") for p in ("weight", "bias")},
        ),
        ({"size": WIDER, "projection": "shared"}, {"maps.map-1.weight", "maps.map-1.bias"}),
        (
            {"size": WIDER, "projection": "shared", "mapping": "uniform+last"},
            {f"maps.map-{n}.{p}" for n in (1, 2) for p in ("weight", "bias")},
        ),
    ],
)
def test_a_map_is_learned_where_widths_differ_or_the_user_says_so(layers, settings, shapes):
    """As published, equal widths have none."""
    term = terms_of(layers, "hidden", **settings)["encoder_hidden"]
    assert {name for name, _ in term.named_parameters()} == shapes


def test_lwd_is_hidden_with_learned_maps_labels_and_logits(layers):
    """TED's baseline has no code of its own."""
    terms = terms_of(layers, "lwd", size="2L32H")
    assert set(terms) == {"labels", "logits", *NAMES}
    hidden = terms_of(layers, "hidden", size="2L32H", projection="always")
    for name in NAMES:
        assert terms[name].formula() == hidden[name].formula()
        for one, other in zip(terms[name].parameters(), hidden[name].parameters(), strict=True):
            assert torch.equal(one, other)


def test_the_same_pair_twice_has_two_maps_and_counts_twice(layers):
    """uniform+last pairs the last layers twice, as the concatenation of both states does."""
    term = terms_of(layers, "hidden", size=WIDER, mapping="uniform+last")["encoder_hidden"]
    assert term.parts == ("1-2", "1-3", "2-4", "2-4-again")
    assert set(term.maps) == set(term.parts)
    assert len(term.targets) == 3


def test_layers_that_the_cache_does_not_hold_are_named_all_at_once(poor_caches):
    """One at a time, each would cost a dump."""
    with pytest.raises(
        CacheMismatchError,
        match=r"--mapping uniform needs encoder.hidden@0, encoder.hidden@1, but .* holds decoder.self@0, decoder.self@1; dump "
        r"with --signal encoder.hidden@0 --signal encoder.hidden@1",
    ):
        terms_of(poor_caches["few"], "hidden")


def test_a_random_map_of_a_student_of_teacher_layers_is_refused(layers, layers_home):
    """It would undo the start; lwd, which learns maps, keeps the identity there."""
    start = {"init": f"teacher-layers:{layers_home / 'teacher'}", "size": "2L32H"}
    for projection in ("always", "shared"):
        with pytest.raises(
            ConfigurationError, match=f"--projection {projection}: a student that starts from its teacher's"
        ):
            terms_of(layers, "hidden", **start, projection=projection)
    assert not list(terms_of(layers, "lwd", **start)["encoder_hidden"].parameters())


@pytest.mark.parametrize("layer", ["-2", "2"])
def test_the_last_layer_can_learn_from_another_one_of_the_teacher(layers, layer):
    terms = terms_of(layers, "hidden", size=WIDER, mapping="last", teacher_layer=(f"encoder.hidden={layer}",))
    assert terms["encoder_hidden"].parts == ("2-3",)
    assert terms["decoder_hidden"].against() == "decoder.hidden@3"


def test_a_layer_beside_a_mapping_of_all_layers_is_refused(layers):
    """One of the two would be ignored."""
    with pytest.raises(
        ConfigurationError, match=r"--mapping uniform chooses the layers of encoder.hidden; use --mapping last"
    ):
        terms_of(layers, "hidden", size=WIDER, teacher_layer=("encoder.hidden=2",))


def test_a_scale_beside_the_whitened_metric_is_refused(layers):
    """It has its own."""
    with pytest.raises(ConfigurationError, match="--hidden-metric whitened has a scale of its own"):
        terms_of(layers, "hidden", hidden_metric="whitened", hidden_scale="mean")


def test_the_whitened_metric_gives_every_direction_about_the_same_share(layers):
    """In the plain metric a few directions are nearly all of the loss."""
    setup = prepare(layers, mapping="last", hidden_metric="whitened")
    constant(setup)
    values = parts_of(setup, all_of(setup))
    for name, value in values.items():
        target = setup.distillation.terms[name.partition(".")[0]].targets[0]
        variances, _ = setup.feed.statistics[target].principal
        floor = 0.01 * float(variances.mean())
        assert value == pytest.approx(float((variances / (variances + floor)).mean()), rel=1e-3), name


def test_validation_measures_what_the_strongest_directions_cannot_explain(layers):
    """Four numbers of a token explain most of a T5's states; a student that has these looks good, and is not."""
    setup = prepare(layers, mapping="last")
    beside = setup.evaluation.terms["encoder_hidden_beyond_top_8"]
    trained = setup.distillation.terms["encoder_hidden"]
    assert beside.maps["2-4"] is trained.maps["2-4"], "training and evaluation share one map"
    assert "encoder_hidden_beyond_top_8" not in setup.distillation.terms
    constant(setup)
    batch = all_of(setup)
    with torch.no_grad():
        sums = setup.evaluation(batch, setup.feed.decoder.decode(batch))
        count = setup.evaluation.counts(batch)["encoder_hidden.2-4"]
        assert sums["encoder_hidden_beyond_top_8.2-4"].item() / count == pytest.approx(1.0, rel=1e-4)
        # a student that has exactly the strongest directions
        target = trained.targets[0]
        found = setup.feed.statistics[target]
        values, vectors = found.principal
        share = float(values[8:].sum()) / found.energy
        y = setup.feed.decoder.decode(batch).sites["encoder.hidden@3"]["hidden"][batch.valid["input"]].double()
        y = y / (y.square().mean(-1, keepdim=True) + 1e-6).sqrt() - found.mean
        kept = y @ vectors[:, :8] @ vectors[:, :8].T
        error = float((kept - y).square().sum() / len(y)) / found.energy
    assert error == pytest.approx(share, rel=1e-6)
    assert float(beside.metric[0].double().trace()) == pytest.approx((32 - 8) / float(values[8:].sum()), rel=1e-4)


def test_a_map_starts_at_the_mean_of_its_targets_and_depends_on_the_seed(layers):
    """The mean is a function of the cache, the rest one of the seed."""
    one, other = (prepare(layers, mapping="last", seed=seed) for seed in (0, 1))
    first, second = (setup.distillation.terms["encoder_hidden"].maps["2-4"] for setup in (one, other))
    assert torch.equal(first.bias, second.bias)
    assert not torch.equal(first.weight, second.weight)
    target = one.distillation.terms["encoder_hidden"].targets[0]
    assert torch.allclose(first.bias.double(), one.feed.statistics[target].mean, atol=1e-6)
    assert first.weight.std().item() == pytest.approx(64**-0.5, rel=0.1)
