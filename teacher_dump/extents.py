"""Extents: the total of training examples that a dump plans, which only grows; each new total is a published folder."""

from ..errors import CacheMismatchError
from ..storage.documents.extent import Extent
from ..storage.documents.plan import Plan
from ..storage.folder import publish_or_accept
from ..storage.layout import extent_path, read_extents
from .config import DumpConfig


def planned_totals(config: DumpConfig, plan: Plan) -> list[int]:
    """Return the totals planned so far, with this run's total if it is larger. Raises CacheMismatchError if it is smaller."""
    totals = [extent.examples for extent in read_extents(config.cache, plan.digest)]
    planned = totals[-1] if totals else 0
    if config.examples < planned:
        raise CacheMismatchError(
            f"{config.cache} already plans {planned:,} examples, and a cache can only grow; "
            f"expected --examples of at least {planned}, found {config.examples}"
        )
    return totals if config.examples == planned else [*totals, config.examples]


def ensure_extent(config: DumpConfig, plan: Plan) -> list[int]:
    """Publish this run's total and return all totals; another worker's extent that was first counts too."""
    while True:
        extents, totals = read_extents(config.cache, plan.digest), planned_totals(config, plan)
        if len(extents) == len(totals):
            return totals
        parent = extents[-1].digest if extents else plan.digest
        extent = Extent(parent=parent, examples=config.examples, shard_examples=config.shard_examples)
        publish_or_accept(extent_path(config.cache, len(extents)), "extent", extent.body())
