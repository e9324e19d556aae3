"""The paths in a cache directory, the examples of each shard, and how the documents refer to each other.

plan <- extents (each refers to the one before), plan <- calibration <- shards, and plan <- filters; every arrow is a digest,
"parent".
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from ..errors import CacheDamagedError, CacheMismatchError, damaged
from ..runtime.there import not_a_cache
from .documents.extent import Extent
from .folder import PublishedFolder, folder_exists
from .positions import MAXIMUM_SHARDS
from .stores.place import Place, Where, place_of

SPLITS = ("validation", "train")


@dataclass(frozen=True, slots=True)
class ShardRange:
    """The examples of one shard."""

    split: str
    """One of SPLITS. Each split numbers its shards and its examples from 0."""
    number: int
    """The shard's number within its split."""
    start: int
    """The first example."""
    stop: int
    """One past the last example."""

    @property
    def name(self) -> str:
        """The name of the shard's folder."""
        return f"{self.split}-{self.number:06d}"


def plan_path(root: Where) -> Place:
    """Return the folder that decides the bytes of everything else; kind plan."""
    return place_of(root) / "plan"


def calibration_path(root: Where) -> Place:
    """Return the folder of bases, steps and temperatures; kind calibration, parent the plan."""
    return place_of(root) / "calibration"


def filters_path(root: Where) -> Place:
    """Return the folder of task-aware filters, which a cache may have; kind filters, parent the plan."""
    return place_of(root) / "filters"


def extent_path(root: Where, n: int) -> Place:
    """Return the folder of the n-th number of planned training examples; kind extent, parent the plan or extent n - 1."""
    return place_of(root) / "extents" / f"{n:06d}"


def segment_path(root: Where, split: str, n: int) -> Place:
    """Return the n-th folder of raw ids; kind marker, parent the plan."""
    return place_of(root) / "segments" / f"{split}-{n:06d}"


def shards_path(root: Where) -> Place:
    """Return the folder of all shards."""
    return place_of(root) / "shards"


def shard_path(root: Where, split: str, n: int) -> Place:
    """Return the folder of one shard's signals; kind marker, parent the calibration."""
    return shards_path(root) / f"{split}-{n:06d}"


def parents(root: Where) -> tuple[Path, ...]:
    """Return the directories that hold published folders (or their mirrors), and what dead writers left behind."""
    place = place_of(root)
    return (place.local, *(place.local / name for name in ("segments", "extents", "shards")))


def no_cache(root: Place) -> CacheMismatchError:
    """Return the error of a place without a plan, for the caller to raise; it says what is there instead."""
    there = not_a_cache(root.local) if root.bucket is None else "it does not have a plan; check its name and folder"
    return CacheMismatchError(f"{root} is not a MiniEnD cache: {there}")


def shard_table(validation_examples: int, extents: Sequence[int], shard_examples: int) -> list[ShardRange]:
    """Return all shards of a cache, validation first, in the order in which its digest takes them.

    `extents` are the growing totals of training examples. We cut each extent anew from the total before it. So an extent
    that ends within a shard leaves a short shard, which later extents never touch. Raises CacheDamagedError for more than
    MAXIMUM_SHARDS.
    """
    counts = [validation_examples, *(stop - start for start, stop in pairwise([0, *extents]))]
    if (shards := sum(-(-count // shard_examples) for count in counts)) > MAXIMUM_SHARDS:
        raise CacheDamagedError(f"plan and extents ask for {shards:,} shards, a cache has at most {MAXIMUM_SHARDS:,}")
    table = _cut("validation", 0, 0, validation_examples, shard_examples)
    number, start = 0, 0
    for total in extents:
        table += (cut := _cut("train", number, start, total, shard_examples))
        number, start = number + len(cut), total
    return table


def read_extents(root: Where, plan_digest: str) -> list[Extent]:
    """Return all published extents in their order.

    Raises CacheDamagedError for a missing extent or totals that do not grow, CacheMismatchError for a broken chain.
    """
    numbers = _extent_numbers(root)
    if numbers != list(range(len(numbers))):
        missing = min(set(range(len(numbers))) - set(numbers))
        raise CacheDamagedError(f"{extent_path(root, missing)} is missing while later extents exist: restore it")
    extents: list[Extent] = []
    for number in numbers:
        folder = PublishedFolder(extent_path(root, number), "extent")
        extents.append(read_extent(folder, extents[-1] if extents else None, plan_digest))
    return extents


def cache_digest(digests: Iterable[str]) -> str:
    """Return the SHA-256 over the digests, a line each, of plan, extents, calibration and the shards in table order.

    The caller skips what is not published yet, so the digest changes until the dump is complete.
    """
    return hashlib.sha256("".join(f"{digest}\n" for digest in digests).encode()).hexdigest()


def _cut(split: str, number: int, start: int, stop: int, size: int) -> list[ShardRange]:
    """Return the shards of `size` examples, the last one shorter, that hold start to stop; numbers count on from `number`."""
    starts = range(start, stop, size)
    return [ShardRange(split, number + k, first, min(first + size, stop)) for k, first in enumerate(starts)]


def _extent_numbers(root: Where) -> list[int]:
    """Return the numbers of the published extents, ascending, without staging folders and other names.

    In an object store the last folder may lack its document, because a writer died or is at work.
    """
    folder = place_of(root) / "extents"
    numbers = sorted(int(name) for name in folder.names() if re.fullmatch("[0-9]{6,}", name))
    if folder.bucket is not None and numbers and not folder_exists(extent_path(root, numbers[-1]), "extent"):
        return numbers[:-1]
    return numbers


def read_extent(folder: PublishedFolder, previous: Extent | None, plan_digest: str) -> Extent:
    """Return one extent, after comparing it with the extent before it.

    Raises CacheMismatchError if it has another parent, CacheDamagedError for everything else that does not fit.
    """
    extent = folder.parsed(Extent)
    parent = previous.digest if previous else plan_digest
    if extent.parent != parent:
        raise CacheMismatchError(
            f"{folder.path} belongs elsewhere: expected parent {parent}, found {extent.parent}. Put the right folder back"
        )
    if extent.examples <= (previous.examples if previous else 0):
        raise damaged(folder.path, f"its {extent.examples} examples should be more than the extent before it has")
    if previous and extent.shard_examples != previous.shard_examples:
        raise damaged(
            folder.path, f"expected {previous.shard_examples} examples a shard, found {extent.shard_examples}"
        )
    return extent
