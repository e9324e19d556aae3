"""How many training examples a dump plans: a total that only grows, stated by one published folder after the other."""

from ..errors import CacheMismatchError
from ..storage.documents.extent import Extent
from ..storage.documents.plan import Plan
from ..storage.folder import publish_or_accept
from ..storage.layout import extent_path, read_extents
from .config import DumpConfig


def planned_totals(config: DumpConfig, plan: Plan) -> list[int]:
    """The totals planned so far, with this run's appended when it is larger. Raises CacheMismatchError when it is smaller."""
    totals = [extent.examples for extent in read_extents(config.cache, plan.digest)]
    planned = totals[-1] if totals else 0
    if config.examples < planned:
        raise CacheMismatchError(
            f"{config.cache} already plans {planned} examples; --examples {config.examples} would shrink it, it can only grow"
        )
    return totals if config.examples == planned else [*totals, config.examples]


def ensure_extent(config: DumpConfig, plan: Plan) -> list[int]:
    """The totals with this run's, published; another worker's extent that came first is counted in."""
    while True:
        extents, totals = read_extents(config.cache, plan.digest), planned_totals(config, plan)
        if len(extents) == len(totals):
            return totals
        parent = extents[-1].digest if extents else plan.digest
        extent = Extent(parent=parent, examples=config.examples, shard_examples=config.shard_examples)
        publish_or_accept(extent_path(config.cache, len(extents)), "extent", extent.body())
