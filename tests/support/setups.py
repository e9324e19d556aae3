"""One student's parts, put together as a run does, for tests that look inside."""

import torch

from miniend.student_train.objective import required_codecs
from miniend.student_train.processes import Processes
from miniend.student_train.setup import open_feed, set_up
from miniend.student_train.student_run import StudentRun
from miniend.student_train.train import train_step


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
