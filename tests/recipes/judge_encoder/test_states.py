"""The numbers by which an encoder is judged, against plain formulas over all tokens at once."""

import numpy as np
import pytest
import torch

from miniend.recipes.judge_encoder import states
from miniend.recipes.judge_encoder.states import Nearness, fitted, nearest


def texts(seed, width=6, count=40):
    """Texts of 1 to 9 tokens about a mean that is far from 0."""
    drawn = np.random.default_rng(seed)
    return [torch.from_numpy(drawn.normal(3, 1, (drawn.integers(1, 10), width))).float() for _ in range(count)]


def noisy(some, seed, size):
    torch.manual_seed(seed)
    return [one + size * torch.randn_like(one) for one in some]


def nearness(ours, theirs):
    found = Nearness(theirs[0].shape[1])
    for own, one in zip(ours, theirs, strict=True):
        found.add(own, one)
    return found


@pytest.mark.parametrize("size", [0.05, 0.7, 4.0])
def test_shares_and_cosines_are_those_of_all_tokens_together(size):
    """Not the means over texts, which would give short texts more weight."""
    theirs = texts(0)
    ours = noisy(theirs, 1, size)
    found, s, t = nearness(ours, theirs), torch.cat(ours).double().numpy(), torch.cat(theirs).double().numpy()
    assert (found.texts, found.tokens) == (40, len(t))
    assert found.explained == pytest.approx(1 - ((s - t) ** 2).sum() / ((t - t.mean(0)) ** 2).sum(), rel=1e-9)
    cosines = (s * t).sum(1) / np.linalg.norm(s, axis=1) / np.linalg.norm(t, axis=1)
    assert found.cosine == pytest.approx(cosines.mean(), rel=1e-9)
    a, b = (np.stack([one.double().numpy().mean(0) for one in some]) for some in (ours, theirs))
    of_texts = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    assert found.cosine_of_texts == pytest.approx(of_texts.mean(), rel=1e-9)


def test_the_teacher_itself_is_perfect_and_its_mean_explains_nothing():
    theirs = texts(2)
    assert nearness(theirs, theirs).explained == 1.0
    assert nearness(theirs, theirs).same_nearest == 1.0
    mean = torch.cat(theirs).double().mean(0)
    constant = nearness([mean.expand_as(one) for one in theirs], theirs)
    assert constant.explained == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("block", [1, 7, 40, 1000])
def test_the_nearest_text_is_another_one_whatever_the_block(monkeypatch, block):
    """About the mean of all: raw means of texts all point the same way."""
    monkeypatch.setattr(states, "BLOCK", block)
    means = torch.stack([one.double().mean(0) for one in texts(3)])
    centred = (means - means.mean(0)).numpy()
    for number, found in enumerate(nearest(means).tolist()):
        cosines = centred @ centred[number] / np.linalg.norm(centred, axis=1)
        cosines[number] = -np.inf
        assert found == int(cosines.argmax())


def test_a_map_that_exists_is_found_and_noise_is_left():
    """From 4 numbers to 6; with noise, the fit is as good as numpy's."""
    torch.manual_seed(5)
    ours, weight, bias = texts(4, width=4, count=300), torch.randn(6, 4), torch.randn(6)
    exact = [one @ weight.T + bias for one in ours]
    found = fitted(zip(ours, exact, strict=True))
    assert torch.allclose(found[0], weight, atol=2e-3)
    assert torch.allclose(found[1], bias, atol=1e-2)
    theirs = noisy(exact, 6, 0.5)
    own, other = fitted(zip(ours, theirs, strict=True))
    x = np.concatenate([torch.cat(ours).numpy(), np.ones((sum(map(len, ours)), 1))], axis=1)
    best = np.linalg.lstsq(x, torch.cat(theirs).numpy(), rcond=None)[0]
    error = ((torch.cat(ours) @ own.T + other - torch.cat(theirs)) ** 2).sum().item()
    assert error == pytest.approx(((x @ best - torch.cat(theirs).numpy()) ** 2).sum(), rel=1e-3)


def test_an_encoder_whose_numbers_are_always_the_same_gets_a_map():
    """A student that learned nothing must be judged and not fail."""
    theirs = texts(7)
    weight, bias = fitted((torch.ones(len(one), 3), one) for one in theirs)
    mapped = [torch.ones(len(one), 3) @ weight.T + bias for one in theirs]
    assert nearness(mapped, theirs).explained == pytest.approx(0.0, abs=1e-4)
