"""Make damaged or lost extents again from what depends on them; a digest proves that they are the old ones."""

import re
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

from ...errors import CacheDamagedError, MiniEndError
from ...storage.documents.extent import Extent
from ...storage.documents.marker import Marker
from ...storage.documents.plan import Plan
from ...storage.documents.seal import document_digest, seal, unseal
from ...storage.folder import PublishedFolder, publish_folder
from ...storage.layout import extent_path
from ...storage.survey import survey
from .aside import claimed_digests, discard, set_aside

MOST_TRIED = 1_000_000


def repair_extents(root: Path, plan: Plan, numbers: list[int]) -> None:
    """Make these extents again.

    Only the extent itself records its total. We try the ends of the training shards, the numbers that can still be read in the
    document, and all numbers below the next extent's total. A total is right if the extent's digest is the one that the next
    extent, or the damaged document itself, gives. Raises CacheDamagedError if no total can be proved.
    """
    for number in sorted(numbers):
        path = extent_path(root, number).local
        parent = PublishedFolder(extent_path(root, number - 1), "extent").digest if number else plan.digest
        proofs = claimed_digests(path, "extent") | set(_parent_of(extent_path(root, number + 1).local))
        totals = chain({*_ends(root), *_numbers_in(path / "extent.json")}, _below(extent_path(root, number + 1).local))
        extents = (Extent(parent=parent, examples=n, shard_examples=plan.shard_examples) for n in totals)
        extent = next((extent for extent in extents if _digest(extent) in proofs), None)
        if extent is None:
            raise CacheDamagedError(
                f"{path} cannot be made again: nothing that is left proves how many examples it planned. Restore it from a copy, "
                "or remove it and run dump-teacher with the same --examples as before"
            )
        aside = set_aside(path)
        publish_folder(path, "extent", extent.body())
        discard(aside)


def _digest(extent: Extent) -> str:
    return document_digest(
        unseal(seal("extent", {**extent.body(), "files": {}, "columns": {}}), "extent", "the extent")
    )


def _parent_of(path: Path) -> Iterator[str]:
    try:
        yield PublishedFolder(path, "extent").parsed(Extent).parent
    except MiniEndError:
        return


def _below(path: Path) -> Iterable[int]:
    """Return every total that the extent before this one can have, at most MOST_TRIED. A million totals take a minute."""
    try:
        return range(1, min(PublishedFolder(path, "extent").parsed(Extent).examples, MOST_TRIED))
    except MiniEndError:
        return ()


def _ends(root: Path) -> Iterator[int]:
    """Yield the number after the last example of every training shard whose marker can be read."""
    for name in survey(root).folders:
        if name.startswith("shards/train-"):
            try:
                yield PublishedFolder(root / name, "marker").parsed(Marker).stop
            except MiniEndError:
                continue


def _numbers_in(document: Path) -> list[int]:
    text = document.read_bytes()[:65_536] if document.is_file() else b""
    return [int(digits) for digits in re.findall(rb'"examples": ([0-9]{1,18})\b', text)]
