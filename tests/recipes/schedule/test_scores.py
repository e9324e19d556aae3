"""The scores: the teacher gets 1, word frequencies 0, and noise lowers them."""

import math
from types import SimpleNamespace

import pytest
import torch

import miniend
from miniend.errors import CacheMismatchError, RunMismatchError
from miniend.recipes.schedule.scores import require_score, score_of
from miniend.student_train.config import SandwichConfig
from miniend.student_train.run.processes import Processes
from miniend.student_train.run.validation import evaluate
from support.setups import set_up_alone


def knowing(cache, unigram):
    """The cache with another entropy of word frequencies, since a random teacher does not beat them."""
    return SimpleNamespace(
        path=cache.path,
        plan=cache.plan,
        validation=cache.validation,
        predicting_teacher=lambda _asker: SimpleNamespace(unigram_entropy=unigram),
        teacher_cross_entropy=cache.teacher_cross_entropy,
    )


def scores(cache, sorted_teacher, score, noises):
    """The scores of the whole sorted teacher with noise on its weights."""
    config = SandwichConfig(
        cache=cache.path,
        output=cache.path.local / "unused",
        init=f"pruned:{sorted_teacher}",
        keep=1.0,
        keeps=(1.0,),
        score=score,
        batch_size=4,
        device="cpu",
    )
    setup, found = set_up_alone(config, cache), []
    first = {name: tensor.clone() for name, tensor in setup.student.state_dict().items()}
    seen = knowing(cache, cache.teacher_cross_entropy("validation") + 1)
    for noise in noises:
        torch.manual_seed(0)
        with torch.no_grad():
            for name, tensor in setup.student.state_dict().items():
                tensor.copy_(first[name] + noise * torch.randn_like(tensor))
        means = evaluate([setup], Processes("cpu"))[0]
        found.append(score_of(score, {name.removeprefix("keep-1."): value for name, value in means.items()}, seen))
    return found


@pytest.mark.parametrize("score", ["information", "kl"])
def test_the_teacher_gets_1_and_noise_lowers_it(span_home, sorted_span, score):
    """The sorted teacher computes what the teacher does, up to the rounding of the cache."""
    cache = miniend.open_cache(span_home / "cache")
    found = scores(cache, sorted_span, score, (0.0, 0.3, 1.0) if score == "kl" else (0.0, 1.0))
    assert found[0] == pytest.approx(1.0, abs=0.02)
    assert found == sorted(found, reverse=True)
    assert found[0] > found[-1]


def test_word_frequencies_get_0_and_what_is_worse_too(span_home):
    """Half the way gets one half."""
    cache = miniend.open_cache(span_home / "cache")
    teacher = cache.teacher_cross_entropy("validation")
    seen = knowing(cache, teacher + 2)
    asked = [teacher + 2, teacher + 1, teacher + 5, teacher - 1]
    assert [score_of("information", {"cross_entropy": one}, seen) for one in asked] == pytest.approx([0, 0.5, 0, 1])
    assert score_of("kl", {"logits": 0.5}, seen) == pytest.approx(math.exp(-0.5))
    assert score_of("accuracy", {"accuracy": 0.25}, seen) == 0.25


def test_a_cache_that_cannot_give_a_score_is_refused(span_home):
    """Before any training: a teacher that is worse than word frequencies has no information to keep."""
    cache = miniend.open_cache(span_home / "cache")
    with pytest.raises(CacheMismatchError, match=r"expected a teacher that beats word frequencies .*choose --score"):
        require_score("information", cache)
    require_score("kl", cache)
    seen = knowing(cache, 100.0)
    require_score("information", seen)
    seen.validation = ()
    with pytest.raises(CacheMismatchError, match="does not hold validation examples"):
        require_score("kl", seen)
    with pytest.raises(RunMismatchError, match="measured cross_entropy, without logits"):
        score_of("kl", {"cross_entropy": 1.0}, seen)
