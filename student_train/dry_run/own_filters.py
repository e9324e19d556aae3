"""Measure how long the student's own filters would be trained before it learns (`run/stage_one.py`)."""

from math import ceil
from time import perf_counter

import torch

from ...signals.filters.stage_one import first_filters, trained_filters
from ..run.setup import Setup
from ..run.stage_one import BATCH, START, batches_of, own_sites

TIMED = 3
"""The batches and steps that are timed, after one batch that is not."""


def own_filter_seconds(setup: Setup) -> float:
    """Return the seconds of training all of the student's own filters, from a few steps; 0 for a student that trains none.

    The student and the terms stay as they are.
    """
    config, found = setup.config, own_sites(setup)
    if config.init is None or found is None:
        return 0.0
    sites, width = found
    batches = batches_of(setup, TIMED)
    first_filters(setup.student, sites, batches[:1], width)
    begun = _now(setup)
    first = first_filters(setup.student, sites, batches, width)
    started = _now(setup)
    trained_filters(setup.student, first, batches, TIMED, config.seed)
    ended = _now(setup)
    starting = ceil(min(START, setup.feed.cache.extents[-1].examples) / BATCH)
    return starting * (started - begun) / len(batches) + config.filter_steps * (ended - started) / TIMED


def _now(setup: Setup) -> float:
    if setup.feed.device.type == "cuda":
        torch.cuda.synchronize(setup.feed.device)
    return perf_counter()
