"""Read the filters of a cache, which are beside its shards and may be added at any time."""

from collections.abc import Mapping

import torch

from ..errors import CacheMismatchError, damaged
from ..signals.filters.filter import Filter
from ..signals.sites import is_site, site_from
from ..storage import contents
from ..storage.documents.filters import Filters
from ..storage.documents.plan import Plan
from ..storage.folder import PublishedFolder


def column_of(site: object, tensor: str) -> str:
    """Return the column of one of the four tensors of a site's filter."""
    return f"{site}.{tensor}"


def read_filters(folder: PublishedFolder, plan: Plan) -> Mapping[str, Filter]:
    """Return the filters by full name of their site, on the CPU.

    Raises CacheMismatchError for filters of another cache, and CacheDamagedError for what cannot be the filters of this one.
    """
    document = folder.parsed(Filters)
    if document.parent != plan.digest:
        raise CacheMismatchError(
            f"{folder.path} belongs to another cache: expected the plan {plan.digest}, found {document.parent}. Put the right "
            "folder back, or make filters with: miniend filters"
        )
    found = {entry.site: _read(folder, plan, entry.site, entry.width) for entry in document.filters}
    if len(found) < len(document.filters):
        raise damaged(folder.path, "it lists a site twice")
    return found


def _read(folder: PublishedFolder, plan: Plan, name: str, width: int) -> Filter:
    if not is_site(name) or name not in plan.signals.hidden:
        raise damaged(folder.path, f"it has a filter of {name}, whose states the cache does not hold")
    outer = plan.teacher.facts.d_model
    shapes = {"weight": [width, outer], "bias": [width], "back": [outer, width], "offset": [outer]}
    expected: contents.Expected = {column_of(name, part): ("basis", shape) for part, shape in shapes.items()}
    contents.check_columns(folder, expected, contents.FLOATS)
    tensors = {part: torch.from_numpy(folder.column(column_of(name, part))) for part in shapes}
    for part, tensor in tensors.items():
        if not bool(tensor.isfinite().all()):
            raise damaged(folder.path, f"{column_of(name, part)} has numbers that are not finite")
    return Filter(site=site_from(name), **tensors)
