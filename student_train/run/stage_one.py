"""The student's own filters before it learns from its teacher's: stage I of TED for the student, which needs no teacher.

It makes sense for a student that models the data already, so it is done where `--init` gives one. Fresh students have random
filters, as the learned maps of `lwd` are.
"""

from collections.abc import Iterator
from itertools import islice

import torch
from torch import Tensor

from ...cache import Cache, Split
from ...models.families import Family, SpecialIds
from ...runtime.progress import Log, progress_bar
from ...signals.filters.stage_one import Tokens, first_filters, trained_filters
from ...signals.sites import Site
from ..reading.batch import Batch
from ..reading.loader import BatchSource, Columns, in_order
from ..terms.filtered import Filtered
from ..terms.matched import LinearMap
from .processes import Processes
from .setup import Setup

BATCH = 16
"""The training examples of a step, from the front of the cache."""
START = 256
"""The training examples whose states give the first filters, or all of fewer: of a student here, and of its teacher."""


def _tokens_of(batch: Batch, family: Family, special: SpecialIds) -> Tokens:
    """Return the examples of a batch as a model gets them."""
    labels = batch.labels[batch.valid[batch.label_axis]]
    return Tokens(family.given(batch.ids, special), batch.valid, labels)


def train_own_filters(setup: Setup, processes: Processes, log: Log) -> None:
    """Train the filters of a student that `--init` gave on hard labels, its weights frozen. Does nothing for others.

    All filters have one width, that of the teacher's. The result depends on the student, the cache and the seed only.
    """
    config, found = setup.config, own_sites(setup)
    if found is None:
        return
    if config.init is None:
        log(
            "the student's filters start at random, because the student does: --init would give one whose filters can be trained"
        )
        return
    _, width = found
    maps = {match.pair.student: term.maps[match.part] for term in _terms(setup) for match in term.matches}
    steps = max(START // BATCH, min(config.filter_steps, len(setup.feed.cache.training) // BATCH + 1))
    batches = training_tokens(setup, steps)
    first = first_filters(setup.student, list(maps), batches[: START // BATCH], width)
    with progress_bar("the student's filters", config.filter_steps, "step", shown=processes.main) as bar:
        filters = trained_filters(setup.student, first, batches, config.filter_steps, config.seed, bar.update)
    with torch.no_grad():
        for one in filters:
            learned = maps[one.site]
            assert isinstance(learned, LinearMap)
            learned.weight.copy_(_mean(one.weight, processes))
            learned.bias.copy_(_mean(one.bias, processes))


def own_sites(setup: Setup) -> tuple[list[Site], int] | None:
    """Return the student's sites that have a filter of their own, and its width; None if no filters are to be trained."""
    matches = [match for term in _terms(setup) for match in term.matches]
    if not matches or not setup.config.filter_steps:
        return None
    [width] = {match.width for match in matches}
    return list(dict.fromkeys(match.pair.student for match in matches)), width


def _terms(setup: Setup) -> list[Filtered]:
    return [term for _, term in setup.distillation.each_term() if isinstance(term, Filtered)]


def training_tokens(setup: Setup, count: int) -> list[Tokens]:
    """Return batches of training examples from the front of the cache."""
    cache = setup.feed.cache
    return list(tokens_in(cache, cache.training, setup.feed.device, count * BATCH, BATCH))


def _mean(tensor: Tensor, processes: Processes) -> Tensor:
    """Return the mean over processes, of which each has trained on all examples: on a GPU they may differ in the last bits."""
    if processes.world == 1:
        return tensor
    total = processes.sum(tensor.flatten().tolist())
    return torch.tensor(total, dtype=torch.float64).div(processes.world).to(tensor).view_as(tensor)


def tokens_in(cache: Cache, split: Split, device: torch.device, most: int, size: int) -> Iterator[Tokens]:
    """Yield the first `most` examples of a split, rounded up to whole batches."""
    source = BatchSource(split, Columns(cache.family), cache.special_ids.pad)
    for batch in islice(in_order(source, size), -(-most // size)):
        yield _tokens_of(batch.to(device), cache.family, cache.special_ids)
