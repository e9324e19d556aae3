"""One student's parts, put together as a run does, for tests that look inside."""

import torch

from miniend.student_train.config import TrainConfig
from miniend.student_train.objective import build_objective
from miniend.student_train.run.processes import Processes
from miniend.student_train.run.setup import build_learner, open_feed, set_up
from miniend.student_train.run.student_run import StudentRun
from miniend.student_train.train import train_step

OBJECTIVES = {
    "scratch": ("scratch", True, "qk"),
    "logits": ("logits", True, "qk"),
    "minilm": ("minilm", True, "qk"),
    "implicit": ("implicit", True, "qk"),
    "d by qk": ("miniend-d", True, "qk"),
    "d by qq_kk_vv": ("miniend-d", True, "qq_kk_vv"),
    "e": ("miniend-e", True, "qk"),
    "d by qk without logits": ("miniend-d", False, "qk"),
    "d by qq_kk_vv without logits": ("miniend-d", False, "qq_kk_vv"),
    "e without logits": ("miniend-e", False, "qk"),
}
"""Every objective in all its forms: its name, with logits or not, and the cross relation."""
CPU = torch.device("cpu")


def set_up_named(cache, name, weight=(), **settings):
    """The setup of one student for an objective of the table above, with 4 relation heads unless told otherwise."""
    objective, logits, cross_relation = OBJECTIVES[name]
    settings = {"relation_heads": 4, "device": "cpu", "cross_relation": cross_relation, **settings}
    asked = {"objective": objective, "logits": logits, "weight": weight, **settings}
    return set_up_alone(TrainConfig(cache=cache.path, output=cache.path.local / "unused", **asked), cache)


def set_up_alone(config, cache):
    """The setup of one student with a feed of its own, on the CPU."""
    learner = learner_of(config, cache)
    return set_up(learner, open_feed(cache, [learner.read], CPU), lambda _line: None)


def terms_of(cache, objective, **settings):
    """The terms of an objective by name, built for a small student."""
    settings = {"size": "2L32H", "device": "cpu", **settings}
    config = TrainConfig(cache=cache.path, output=cache.path.local / "unused", objective=objective, **settings)
    return learner_of(config, cache).terms


def learner_of(config, cache):
    """The student with the terms that its objective asks for."""
    objective = build_objective(config.objective, config.logits, config.weight, config.temperature, config.stacks)
    return build_learner(config, objective, cache, CPU)


def sums_of(setup, batch):
    """Every part of the loss, the teacher's side decoded from the batch."""
    return setup.distillation(batch, setup.feed.decoder.decode(batch))


def step_alone(setup, batches):
    """One optimizer step of this student."""
    processes = Processes("cpu")
    train_step([StudentRun(setup, processes)], batches, processes)
