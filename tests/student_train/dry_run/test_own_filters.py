"""The time of the student's own filters, which are trained before the first step of an objective ted."""

import pytest
import torch

import miniend
from miniend.student_train.config import TrainConfig
from miniend.student_train.dry_run import own_filters
from miniend.student_train.dry_run.own_filters import own_filter_seconds
from support.filtering import filtered_copy
from support.setups import set_up_alone


@pytest.fixture(scope="module")
def home(layers_home, tmp_path_factory):
    return filtered_copy(layers_home, tmp_path_factory.mktemp("own-filters"))


def setup_of(home, **more):
    cache = miniend.open_cache(home / "cache")
    start = {"init": str(home / "teacher"), "objective": "ted"}
    common = {"cache": cache.path, "output": home / "unused", "batch_size": 4, "steps": 4, "device": "cpu"}
    return set_up_alone(TrainConfig(**{**common, **start, **more}), cache)


def test_it_is_that_of_all_batches_and_steps_and_changes_nothing(home, monkeypatch):
    """With a clock by which every piece of work takes a second."""
    monkeypatch.setattr(own_filters, "timed", lambda _device, work: (work(), 1.0))
    setup = setup_of(home, filter_steps=30)
    before = {name: tensor.clone() for name, tensor in setup.distillation.state_dict().items()}
    examples = len(setup.feed.cache.training)
    batches = -(-examples // 16)
    assert own_filter_seconds(setup) == pytest.approx(batches / min(3, batches) + 30 / 3)
    assert all(torch.equal(tensor, before[name]) for name, tensor in setup.distillation.state_dict().items())


@pytest.mark.parametrize(
    "more", [{"filter_steps": 0}, {"init": None, "size": "4L32H"}, {"objective": "lwd"}], ids=["none", "fresh", "lwd"]
)
def test_a_student_that_does_not_train_them_takes_no_time(home, more):
    assert own_filter_seconds(setup_of(home, **more)) == 0
