"""Make filters of a few steps, and say how long the real ones would take."""

from math import ceil

from ...cache import open_cache
from ...runtime.devices import choose_device, timed
from ...signals.fidelity import MeanOf
from ...signals.filters.stage_one import filter_losses, first_filters, trained_filters
from ...student_train.run.stage_one import START, tokens_in
from ...teacher_dump.teacher import teacher_of
from .config import FiltersConfig
from .filters import HELD_OUT, publish_filters, wanted_sites, wanted_width

TIMED = 3
"""The batches and steps that are timed, after one batch that is not."""


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
    first, starting = timed(device, lambda: first_filters(model, sites, batches, width))
    _, measuring = timed(device, lambda: filter_losses(model, first, batches))
    trained, training = timed(device, lambda: trained_filters(model, first, batches, TIMED, config.seed))
    unknown = [MeanOf() for _ in trained]
    publish_filters(config, cache, TIMED * size, trained, (unknown, unknown), MeanOf())
    start = ceil(min(START, cache.extents[-1].examples) / size)
    held_out = ceil(min(HELD_OUT, cache.plan.validation_examples) / size)
    # The losses are measured twice: before and after training.
    return (start * starting + 2 * held_out * measuring) / len(batches) + config.filter_steps * training / TIMED
