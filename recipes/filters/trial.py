"""Make filters of a few steps, and say how long the real ones would take."""

from collections.abc import Callable
from math import ceil
from time import perf_counter
from typing import TypeVar

import torch

from ...cache import open_cache
from ...runtime.devices import choose_device
from ...signals.fidelity import MeanOf
from ...signals.filters.stage_one import filter_losses, first_filters, trained_filters
from ...teacher_dump.teacher import teacher_of
from .config import FiltersConfig
from .filters import HELD_OUT, START, publish_filters, tokens_in, wanted_sites, wanted_width

TIMED = 3
"""The batches and steps that are timed, after one batch that is not."""
ResultT = TypeVar("ResultT")


def trial_filters(config: FiltersConfig) -> float:
    """Add filters of a few steps to a throwaway cache, which may be unfinished, and return the seconds of the real ones.

    A run of the objective `ted` can be timed on that cache. Raises what `add_filters` raises, except for an unfinished cache.
    """
    cache = open_cache(config.cache, allow_unfinished=True)
    sites, width = wanted_sites(cache, config.filter), wanted_width(cache, config.filter_width)
    device, size = choose_device(config.device), config.batch_size
    model = teacher_of(cache.plan, config.teacher, device, str(cache.path)).model.float()
    batches = list(tokens_in(cache, cache.training, device, TIMED * size, size))
    first_filters(model, sites, batches[:1], width)
    first, starting = _timed(device, lambda: first_filters(model, sites, batches, width))
    _, measuring = _timed(device, lambda: filter_losses(model, first, batches))
    trained, training = _timed(device, lambda: trained_filters(model, first, batches, TIMED, config.seed))
    unknown = [MeanOf() for _ in trained]
    publish_filters(config, cache, TIMED * size, trained, (unknown, unknown), MeanOf())
    start = ceil(min(START, cache.extents[-1].examples) / size)
    held_out = ceil(min(HELD_OUT, cache.plan.validation_examples) / size)
    # The losses are measured twice: before and after training.
    return (start * starting + 2 * held_out * measuring) / len(batches) + config.filter_steps * training / TIMED


def _timed(device: torch.device, work: Callable[[], ResultT]) -> tuple[ResultT, float]:
    begun = perf_counter()
    result = work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return result, perf_counter() - begun
