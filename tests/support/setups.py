"""One student's parts, put together as a run does, for tests that look inside."""

import torch

from miniend.student_train.config import TrainConfig
from miniend.student_train.objective import build_objective, required_codecs
from miniend.student_train.run.processes import Processes
from miniend.student_train.run.setup import open_feed, set_up
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


def set_up_named(cache, name, weight=(), **settings):
    """The setup of one student for an objective of the table above, with 4 relation heads unless told otherwise."""
    built = build_objective(*OBJECTIVES[name], weight)
    settings = {"relation_heads": 4, "device": "cpu", **settings}
    config = TrainConfig(cache=cache.path, output=cache.path.local / "unused", **settings)
    return set_up_alone(config, cache, built)


def set_up_alone(config, cache, objective):
    """The setup of one student with a feed of its own, on the CPU."""
    codecs = required_codecs(objective, cache)
    feed = open_feed(cache, [(objective, codecs)], torch.device("cpu"))
    return set_up(config, feed, objective, codecs, lambda _line: None)


def sums_of(setup, batch):
    """Every part of the loss, the teacher's side decoded from the batch."""
    return setup.distillation(batch, setup.feed.decoder.decode(batch))


def step_alone(setup, batches):
    """One optimiser step of this student."""
    processes = Processes("cpu")
    train_step([StudentRun(setup, processes)], batches, processes)
