"""Settings of short training runs, and comparing what they leave behind."""

import json

import torch
from safetensors.torch import load_file

RUN = {
    "size": "2L32H",
    "steps": 10,
    "batch_size": 4,
    "log_every": 1,
    "save_every": 4,
    "eval_every": 5,
    "warmup_steps": 2,
    "relation_heads": 4,
    "device": "cpu",
}
"""Ten steps: checkpoints after 4 and 8, evaluations after 5 and 10."""
KILLED_AFTER_SEVEN_STEPS = """
import os, signal
from miniend.__main__ import main
from miniend.student_train import train

step, made = train.train_step, []

def killed(runs, batches, processes):
    step(runs, batches, processes)
    made.append(1)
    if len(made) == 7:
        os.kill(os.getpid(), signal.SIGKILL)

train.train_step = killed
main()
"""
"""A program that does what `miniend` does, and kills itself after seven steps of training."""
TIMING = {"tokens_per_second", "step_seconds", "data_wait_seconds"}


def metrics(output):
    """The lines of metrics.jsonl without what depends on the clock."""
    lines = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key not in TIMING} for line in lines]


def weights(output):
    """The tensors of a finished run."""
    return load_file(output / "model.safetensors")


def same_weights(one, other):
    """Whether two finished runs have the same tensors, bit for bit."""
    ours, theirs = weights(one), weights(other)
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
