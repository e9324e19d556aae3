"""The task-aware filters of a cache: which layers have one, and how well the teacher does with it (SPEC.md, section 9)."""

from dataclasses import dataclass
from typing import ClassVar

from .measured import Mean
from .parse import Document, Record
from .values import Natural, Positive


@dataclass(frozen=True, kw_only=True, slots=True)
class FilterEntry(Record):
    """The filter of one layer; its folder has the arrays."""

    site: str
    """The full name of the layer's site, such as `encoder.hidden@5`."""
    width: Positive
    """The width of what it returns."""
    before: Mean
    """The teacher's cross-entropy in nats, over target tokens of held-out examples, with the filter before training."""
    after: Mean
    """The same after training."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Filters(Document):
    """Filters of the teacher's layers."""

    KIND: ClassVar[str] = "filters"

    parent: str
    """The digest of the plan."""
    steps: Natural
    """The steps of training."""
    examples: Positive
    """The number of training examples, the first of the cache, that they were trained on."""
    batch_size: Positive
    """The number of examples of a step."""
    teacher: Mean
    """The teacher's own cross-entropy on the held-out examples."""
    filters: tuple[FilterEntry, ...]
