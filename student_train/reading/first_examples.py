"""The statistics of the teacher's tensors over the first training examples of a cache: a function of the cache only."""

from collections.abc import Iterable
from itertools import islice

import torch

from ...cache import Cache
from ...signals.filters.filter import FILTERED
from ...signals.matching.target_statistics import Target, TargetStatistics
from .loader import BatchSource, in_order
from .teacher_signals import Needs, build_decoder

FIRST = 256
"""The number of examples; all of them in a smaller cache."""
TOGETHER = 8
"""The examples that are decoded at once, whatever the batch size of the run, which must not decide a digit."""


def statistics_of(
    cache: Cache, training: BatchSource, targets: Iterable[Target], device: torch.device
) -> dict[Target, TargetStatistics]:
    """Return the statistics of each target over the valid tokens of the first training examples; nothing is read for none."""
    wanted = sorted(set(targets))
    if not wanted:
        return {}
    filtered = frozenset(one.site for one in wanted if one.tensor == FILTERED)
    decoder = build_decoder(cache, Needs(frozenset(one.site for one in wanted), filtered=filtered), device)
    found = {one: TargetStatistics(one, _width(cache, one), device) for one in wanted}
    axes = {one: _axis(cache, one) for one in wanted}
    for batch in islice(in_order(training, TOGETHER), FIRST // TOGETHER):
        here = batch.to(device)
        sites = decoder.decode(here).sites
        for target, own in found.items():
            own.add(sites[target.site][target.tensor][here.valid[axes[target]]])
    return found


def _width(cache: Cache, target: Target) -> int:
    """Return the width of a target's rows."""
    return cache.filters[target.site].width if target.tensor == FILTERED else cache.codecs[target.site].width


def _axis(cache: Cache, target: Target) -> str:
    """Return the token axis of a target's rows."""
    places = cache.codecs[target.site].places
    return next(place.axis for place in places if target.tensor == FILTERED or target.tensor in place.blocks)
