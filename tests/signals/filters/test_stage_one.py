"""Stage I of TED: what a filter's loss is, and that training changes nothing but filters."""

from dataclasses import replace

import pytest
import torch
from torch.nn.functional import cross_entropy

from miniend.models.families import family_of
from miniend.models.pretrained import tensor_digest
from miniend.signals.filters.filter import Filter
from miniend.signals.filters.stage_one import filter_losses, first_filters, frozen, stage_one_loss, trained_filters
from miniend.signals.sites import Site
from support.filtering import KINDS, model_of, tokens_for

LAST = (Site("encoder.hidden", 1), Site("decoder.hidden", 2))
EVERY = (*(Site("encoder.hidden", layer) for layer in range(2)), *(Site("decoder.hidden", layer) for layer in range(3)))


@pytest.fixture(scope="module", params=KINDS)
def model(request):
    return model_of(request.param, dtype=torch.float32)


def identity(site, width=32):
    eye, none = torch.eye(width), torch.zeros(width)
    return Filter(site=site, weight=eye, bias=none, back=eye.clone(), offset=none.clone())


def own_loss(model, tokens):
    """The model's cross-entropy by transformers' forward and torch's loss."""
    family = family_of(model)
    with torch.no_grad():
        logits = family.logits(model, tokens.given, tokens.valid)[tokens.valid["target"]]
    return float(cross_entropy(logits, tokens.labels))


def test_the_identity_at_the_last_layer_of_either_stack_gives_the_models_own_loss(model):
    """A forgotten final norm, a wrong head scale or a lost mask each change it by far more."""
    tokens = tokens_for(model)
    means = filter_losses(model, [identity(site) for site in LAST], [tokens])
    assert [mean.mean for mean in means] == pytest.approx([own_loss(model, tokens)] * 2, rel=1e-5)


def test_padding_does_not_change_a_loss(model):
    short, long = (
        filter_losses(model, [identity(one) for one in EVERY], [tokens_for(model, padding=p)]) for p in (0, 5)
    )
    assert [one.mean for one in long] == pytest.approx([one.mean for one in short], rel=1e-5)
    assert [one.count for one in long] == [one.count for one in short]


def test_training_lowers_the_losses_and_changes_nothing_of_the_model():
    """Stage I is about what the frozen model reads; a backbone that moves along would be another teacher."""
    model = model_of("tied", dtype=torch.float32).train()
    before, wanted = tensor_digest(model.state_dict()), [one.requires_grad for one in model.parameters()]
    batches = [tokens_for(model, seed) for seed in range(3)]
    first = first_filters(model, EVERY, batches, 8)
    trained = trained_filters(model, first, batches, 40, seed=0)
    assert tensor_digest(model.state_dict()) == before
    assert all(one.grad is None for one in model.parameters())
    assert [one.requires_grad for one in model.parameters()] == wanted
    assert model.training
    losses = [[one.mean for one in filter_losses(model, filters, batches)] for filters in (first, trained)]
    assert all(after < was for was, after in zip(*losses, strict=True))
    again = trained_filters(model, first, batches, 40, seed=0)
    assert all(torch.equal(a.weight, b.weight) for a, b in zip(trained, again, strict=True))


def test_the_drawn_encoder_filter_stands_for_all_of_them_in_the_mean():
    """Half of the steps would else train an encoder filter at half of its weight."""
    model = model_of("tied", dtype=torch.float32)
    tokens = tokens_for(model)
    filters = first_filters(model, EVERY, [tokens], 8)
    with frozen(model):
        exact = float(stage_one_loss(model, filters, tokens, None))
        chance = torch.Generator().manual_seed(0)
        drawn = {round(float(stage_one_loss(model, filters, tokens, chance)), 6) for _ in range(30)}
    assert len(drawn) == 2  # of two encoder filters one each
    assert sum(drawn) / 2 == pytest.approx(exact, rel=1e-5)


def test_a_filter_reads_the_output_of_its_block_and_not_the_normed_last_state():
    """transformers' own list of hidden states ends with the normed state, which is a tenth as large in a T5."""
    model = model_of("tied", dtype=torch.float32)
    tokens = tokens_for(model)
    [last] = first_filters(model, LAST[1:], [tokens], 32)
    scaled = replace(last, offset=last.offset * 3, back=last.back * 3)  # the final norm undoes the scale
    losses = [filter_losses(model, [one], [tokens])[0].mean for one in (last, scaled)]
    assert losses[0] == pytest.approx(own_loss(model, tokens), rel=1e-3)
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)


def test_a_frozen_model_gets_its_mode_and_its_gradients_back_after_an_error():
    model = model_of("tied", dtype=torch.float32).train()

    def interrupted():
        with frozen(model):
            assert not model.training
            assert not any(one.requires_grad for one in model.parameters())
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        interrupted()
    assert model.training
    assert all(one.requires_grad for one in model.parameters())
