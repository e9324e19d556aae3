"""Importance: what does nothing goes first, by either measure; and the numbers are those of the formulas."""

import pytest
import torch
from torch.nn.functional import cross_entropy, kl_div

from miniend.models.families import family_of
from miniend.models.pruning.groups import groups_of
from miniend.models.pruning.importance import by_removal, loss_without, mean_loss, rankings
from miniend.models.pruning.masks import masked
from miniend.models.pruning.prefix import cut_model
from miniend.models.pruning.sorting import sort_model
from miniend.models.pruning.widths import GRADIENT, MEASURED, Widths
from support.prunable import prunable
from support.students import FAMILY_NAMES, tokens

DEAD_HEAD, DEAD_NEURONS = 3, [5, 70]
INPUTS, LABELS = tokens(200, (4, 11)), tokens(200, (4, 7), 2)
BATCHES = (slice(0, 3), slice(3, 4))


def run(model, part):
    return model(input_ids=INPUTS[part], labels=LABELS[part]).logits


def entropy_of(model):
    """The summed cross-entropy by batch, of batches of unlike sizes."""
    return lambda: (
        (cross_entropy(run(model, part).flatten(0, 1), LABELS[part].flatten(), reduction="sum"), LABELS[part].numel())
        for part in BATCHES
    )


def distance_from(model):
    """The KL from the model without masks: any removal of what does something raises it above 0."""
    with torch.no_grad():
        wanted = [run(model, part).log_softmax(-1) for part in BATCHES]
    return lambda: (
        (kl_div(run(model, part).log_softmax(-1), own, reduction="sum", log_target=True), LABELS[part].numel())
        for part, own in zip(BATCHES, wanted, strict=True)
    )


def with_dead_units(kind):
    """A model in whose head 3 and neurons 5 and 70 do not reach anything, in every layer."""
    model = prunable(kind, True, size="2E2D32H")
    for name, group in groups_of(model).items():
        dead = DEAD_NEURONS if "feed_forward" in name else [DEAD_HEAD]
        with torch.no_grad():
            for reader in group.readers:
                width = group.parameters[reader].width
                for unit in dead:
                    model.get_parameter(reader)[:, unit * width : (unit + 1) * width] = 0
    return model


@pytest.mark.parametrize("kind", FAMILY_NAMES)
def test_dead_heads_and_neurons_are_the_first_to_go(kind):
    """Both measures agree on what costs nothing."""
    model = with_dead_units(kind)
    gradient = rankings(model, entropy_of(model), GRADIENT)
    measured = rankings(model, distance_from(model), MEASURED)
    assert list(gradient) == list(measured) == list(groups_of(model))
    for name, group in groups_of(model).items():
        dead = DEAD_NEURONS if "feed_forward" in name else [DEAD_HEAD]
        assert sorted(gradient[name].order[-len(dead) :]) == dead
        assert (measured[name].removals is not None) == group.is_self_attention
        if group.is_self_attention:
            assert measured[name].order[-1] == DEAD_HEAD
            assert measured[name].removals[0].units == (DEAD_HEAD,)


def test_the_gradient_is_that_of_the_mask_of_each_head_summed_over_batches():
    """Against differences: a mask of 1 + e on the input of `o`. Two layers share the heads, so normalized scores add up.

    transformers' norm computes the variance in float32, so the differences have three digits.
    """
    model = prunable("t5", True, size="2E2D32H")
    found = rankings(model, entropy_of(model), GRADIENT)["encoder.self"].scores
    readers, layers, step = groups_of(model)["encoder.self"].readers, [], 3e-3
    assert len(readers) == 2
    for reader in readers:
        scores = torch.zeros(4, dtype=torch.float64)
        for part in range(len(BATCHES)):
            for head in range(4):
                ends = []
                for change in (step, -step):
                    mask = torch.ones(4, dtype=torch.float64)
                    mask[head] += change
                    with masked(model, {reader: mask}), torch.no_grad():
                        ends.append(float(list(entropy_of(model)())[part][0]))
                scores[head] += abs(ends[0] - ends[1]) / (2 * step)
        layers.append(scores / scores.norm())
    torch.testing.assert_close(torch.tensor(found, dtype=torch.float64), sum(layers), rtol=1e-2, atol=1e-4)


def test_the_loss_after_each_removal_is_that_of_the_sorted_and_cut_model():
    """A slice is a mask, and the order says which heads the slice keeps. Each round takes the cheapest of all that are left."""
    model = prunable("t5", True, size="2E2D32H")
    group, losses = groups_of(model)["decoder.self"], entropy_of(model)
    ranking = by_removal(model, group, losses)
    assert ranking.order[1:] == tuple(unit for one in reversed(ranking.removals) for unit in one.units)
    left = set(range(4))
    for removal in ranking.removals:
        gone = set(range(4)) - left
        trials = {unit: loss_without(model, group, {*gone, unit}, losses) for unit in left}
        assert removal.units == (min(trials, key=trials.get),)
        assert removal.loss == pytest.approx(min(trials.values()), abs=1e-12)
        left -= set(removal.units)
    last = ranking.removals[-1].loss
    sort_model(model, dict.fromkeys(("encoder.self", "decoder.self"), ranking.order))
    smaller = cut_model(model, Widths(1, 192))
    with (
        torch.no_grad()
    ):  # the cut model has one encoder head and one cross head too, so they are masked in the whole one
        masks = {}
        for other in ("encoder.self", "decoder.self", "decoder.cross@0", "decoder.cross@1"):
            mask = torch.tensor([1.0, 0, 0, 0], dtype=torch.float64)
            masks |= dict.fromkeys(groups_of(model)[other].readers, mask)
        with masked(model, masks):
            whole = mean_loss(entropy_of(model))
        only = dict.fromkeys(groups_of(model)["decoder.self"].readers, torch.tensor([1.0, 0, 0, 0]))
        with masked(model, only):
            assert mean_loss(entropy_of(model)) == pytest.approx(last, abs=1e-10)
    assert mean_loss(entropy_of(smaller)) == pytest.approx(whole, abs=1e-6)


@pytest.mark.parametrize(("heads", "removed"), [(4, [1, 1, 1]), (16, [2] * 7 + [1]), (1, [])])
def test_many_heads_go_several_at_a_time(heads, removed):
    """A T5-3B has 32 heads; one at a time would be 527 trials per stack."""
    model = prunable("t5", True, heads=heads, size="1L32H")
    trials = []
    ranking = by_removal(model, groups_of(model)["encoder.self"], entropy_of(model), lambda: trials.append(1))
    assert [len(one.units) for one in ranking.removals] == removed
    assert sorted(ranking.order) == list(range(heads))
    assert len(trials) == sum(heads - sum(removed[:done]) for done in range(len(removed)))


def test_masks_are_gone_after_the_block():
    """What stays would prune every later measurement."""
    model = prunable("t5", True, size="1L32H")
    before = mean_loss(entropy_of(model))
    rankings(model, entropy_of(model))
    assert mean_loss(entropy_of(model)) == before
    assert not any(parameter.grad is not None for parameter in model.parameters())


def test_every_group_of_a_family_has_one_reader_per_layer():
    """A mask that is missing in one layer would leave a head half there."""
    for kind in FAMILY_NAMES:
        model = prunable(kind, True)
        shared = not family_of(model).bias_in_every_block
        depths = {"encoder.self": 2, "decoder.self": 3} if shared else {}
        for name, group in groups_of(model).items():
            assert len(group.readers) == depths.get(name, 1)
