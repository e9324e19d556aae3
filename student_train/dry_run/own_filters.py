"""Measure how long the student's own filters would be trained before it learns (`run/stage_one.py`)."""

from math import ceil

from ...runtime.devices import timed
from ...signals.filters.stage_one import first_filters, trained_filters
from ..run.setup import Setup
from ..run.stage_one import BATCH, START, own_sites, training_tokens

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
    batches = training_tokens(setup, TIMED)
    first_filters(setup.student, sites, batches[:1], width)
    device = setup.feed.device
    first, starting = timed(device, lambda: first_filters(setup.student, sites, batches, width))
    _, training = timed(device, lambda: trained_filters(setup.student, first, batches, TIMED, config.seed))
    start = ceil(min(START, setup.feed.cache.extents[-1].examples) / BATCH)
    return start * starting / len(batches) + config.filter_steps * training / TIMED
