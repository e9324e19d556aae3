"""Extents: how many training examples are planned (SPEC.md, section 1)."""

from dataclasses import dataclass
from typing import ClassVar

from .parse import Document
from .values import Natural, Positive


@dataclass(frozen=True, kw_only=True, slots=True)
class Extent(Document):
    """A total of training examples, larger than the total of the extent before it."""

    KIND: ClassVar[str] = "extent"

    parent: str
    """The digest of the extent before it; of the plan for the first extent."""
    examples: Natural
    """The number of training examples planned so far."""
    shard_examples: Positive
    """The number of examples of a shard, the same in all extents."""
