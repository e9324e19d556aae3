"""Comparing what training runs leave behind."""

import json

import torch
from safetensors.torch import load_file

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
