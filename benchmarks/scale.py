"""Measure what grows with the number of examples, on simulated folders: real markers, and columns that all folders share.

    python benchmarks/scale.py [--examples 100000 1000000 10000000 100000000]

- segments: the time to read one example's segment, in the order of a dump, at the end of the store, where a search from the
  beginning takes longest. Reading and decoding the folder's columns is included.
- publishing: the time to publish one small shard beside all others, of the number of examples that --publish names.
"""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, cast

import numpy as np

from miniend.runtime.progress import progress_bar
from miniend.storage.columns.columns import Column
from miniend.storage.documents.marker import Cursor, SegmentsMarker
from miniend.storage.documents.plan import Plan
from miniend.storage.folder import PublishedFolder, publish_folder
from miniend.storage.layout import ShardRange, segment_path, shard_path
from miniend.storage.markers import marker_members
from miniend.teacher_dump.examples.segments import SEGMENTS_PER_FOLDER, SegmentStore, _Folder, ragged_columns

DIGEST = "0" * 64
LENGTH = 568
"""The tokens of a segment of 512 inputs."""
SHARD = 256
ROUNDS = 5


class SimulatedPlan:
    """What a store reads of its plan before it looks for folders."""

    digest = DIGEST


def store_of(root: Path, examples: int) -> SegmentStore:
    """Return a store of so many segments, in folders that are one folder with markers of their own."""
    rng = np.random.default_rng(0)
    path = segment_path(root, "train", 0)
    place = ShardRange("train", 0, 0, SEGMENTS_PER_FOLDER)
    marker = SegmentsMarker(**marker_members(place, DIGEST), next=Cursor(document=1, offset=0), exhausted=False)
    rows = [rng.integers(2, 32_000, LENGTH).astype(np.int32) for _ in range(SEGMENTS_PER_FOLDER)]
    publish_folder(path, "marker", marker.body(), ragged_columns("segments", rows, "token"))
    folder = PublishedFolder(path, "marker")
    store = SegmentStore(root / "empty", cast(Plan, SimulatedPlan()))
    for number in range(-(-examples // SEGMENTS_PER_FOLDER)):
        start = number * SEGMENTS_PER_FOLDER
        own = replace(marker, number=number, start=start, stop=start + SEGMENTS_PER_FOLDER)
        store._folders["train"].append(_Folder(folder, own))
    return store


def seconds_per_segment(store: SegmentStore) -> float:
    """Return the median over rounds, each of the last folder from its first segment to its last."""
    count, seconds = store.count("train"), []
    for _ in range(ROUNDS):
        store._open.clear()
        begun = perf_counter()
        for index in range(count - SEGMENTS_PER_FOLDER, count):
            store.segment("train", index)
        seconds.append((perf_counter() - begun) / SEGMENTS_PER_FOLDER)
    return median(seconds)


def seconds_per_search(store: SegmentStore) -> float:
    """Return the time of a search from the first folder on, for comparison."""
    folders, index = store._folders["train"], store.count("train") - 1
    begun = perf_counter()
    for _ in range(ROUNDS):
        next(n for n, one in enumerate(folders) if index < one.marker.stop)
    return (perf_counter() - begun) / ROUNDS


def publishing(root: Path, shards: int) -> list[float]:
    """Return the seconds of publishing a small shard beside no others, and beside so many empty folders."""
    columns: dict[str, Any] = {"inputs.ids": Column(values=np.arange(1000, dtype=np.uint32), axis="input")}
    found = []
    for others in (0, shards):
        below = root / f"beside-{others}"
        with progress_bar("folders", others, "folder") as bar:
            for number in range(others):
                shard_path(below, "train", number).local.mkdir(parents=True)
                bar.update(1)
        seconds = []
        for number in range(others, others + 20):
            begun = perf_counter()
            publish_folder(shard_path(below, "train", number), "marker", {"number": number}, columns)
            seconds.append(perf_counter() - begun)
        found.append(median(seconds))
    return found


def main() -> None:
    """Build, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, nargs="+", default=[10**5, 10**6, 10**7, 10**8])
    parser.add_argument("--publish", type=int, default=10**7)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(
            "| examples | folders of segments | us per segment | us of a search from the beginning |\n|---:|---:|---:|---:|"
        )
        for examples in asked.examples:
            store = store_of(Path(folder) / str(examples), examples)
            each, search = seconds_per_segment(store), seconds_per_search(store)
            print(
                f"| {examples:,} | {len(store._folders['train']):,} | {each * 1e6:.1f} | {search * 1e6:,.1f} |",
                flush=True,
            )
        shards = asked.publish // SHARD
        first, last = publishing(Path(folder) / "publishing", shards)
        print(f"publishing a shard: {first * 1e3:.1f} ms beside no others, {last * 1e3:.1f} ms beside {shards:,}")


if __name__ == "__main__":
    main()
