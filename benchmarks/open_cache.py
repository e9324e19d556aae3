"""Measure how long it takes to open a cache of many shards.

    python benchmarks/open_cache.py --cache SMALL_CACHE [--shards 10000]

We publish the plan, the calibration and the first shard of a small finished cache once more. The other shards share the first
one's data files (hard links). Each has its own sealed marker, like the markers of a dump.
"""

import argparse
import os
import tempfile
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

from miniend.cache import Cache, open_cache
from miniend.runtime.progress import progress_bar
from miniend.storage.columns.columns import Column
from miniend.storage.documents.seal import seal
from miniend.storage.folder import PublishedFolder, publish_folder
from miniend.storage.layout import ShardRange, calibration_path, extent_path, plan_path, shard_path, shard_table
from miniend.storage.markers import marker_members

OWN = ("format", "version", "kind", "sha256", "files", "columns")
"""The members of a document that its writer adds."""


def build(small: Cache, root: Path, shards: int) -> None:
    """Publish the plan and calibration of a small cache for this many shards, each with the columns of its first shard."""
    plan_body = {**small.plan.body(), "validation_examples": 0, "shard_examples": small.shards[0].examples}
    examples = shards * small.shards[0].examples
    plan = publish_folder(plan_path(root), "plan", plan_body, files=raw_files(small.plan_folder))
    extent = {"parent": plan, "examples": examples, "shard_examples": small.shards[0].examples}
    publish_folder(extent_path(root, 0), "extent", extent)
    columns = columns_of(small.calibration_folder)
    calibration = publish_folder(
        calibration_path(root), "calibration", {**small.calibration.body(), "parent": plan}, columns, codec="zstd"
    )
    table = shard_table(0, [examples], small.shards[0].examples)
    first = publish_first(small.shards[0].folder, root, table[0], calibration)
    with progress_bar("linking", shards - 1, "shard") as bar:
        for place in table[1:]:
            link(first, root, place, calibration)
            bar.update(1)


def publish_first(folder: PublishedFolder, root: Path, place: ShardRange, calibration: str) -> PublishedFolder:
    path = shard_path(root, place.split, place.number)
    body = {**body_of(folder), **marker_members(place, calibration)}
    publish_folder(path, "marker", body, columns_of(folder), codec="zstd")
    return PublishedFolder(path, "marker")


def link(first: PublishedFolder, root: Path, place: ShardRange, calibration: str) -> None:
    path = shard_path(root, place.split, place.number).local
    for name in first.document["files"]:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        os.link(first.path.local / name, path / name)
    listed = {name: first.document[name] for name in ("files", "columns")}
    body = {**body_of(first), **listed, **marker_members(place, calibration)}
    (path / "marker.json").write_bytes(seal("marker", body))


def body_of(folder: PublishedFolder) -> dict[str, Any]:
    return {name: value for name, value in folder.document.items() if name not in OWN}


def columns_of(folder: PublishedFolder) -> dict[str, Column]:
    return {name: Column(values=folder.column(name), axis=info["axis"]) for name, info in folder.columns.items()}


def raw_files(folder: PublishedFolder) -> dict[str, bytes]:
    inside = tuple(f"{name}/" for name in folder.columns)
    return {name: folder.file(name) for name in folder.document["files"] if not name.startswith(inside)}


def main() -> None:
    """Build, open three times, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--cache", required=True, help="a small finished cache, whose first shard is published again and again"
    )
    parser.add_argument("--shards", type=int, default=10_000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        build(open_cache(asked.cache), Path(folder), asked.shards)
        for _ in range(3):
            begun, worked = perf_counter(), process_time()
            cache = open_cache(folder)
            seconds, busy = perf_counter() - begun, process_time() - worked
            print(
                f"{len(cache.shards):,} shards opened in {seconds:.2f} s ({busy:.2f} s of processor time)", flush=True
            )


if __name__ == "__main__":
    main()
