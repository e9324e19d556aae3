"""How long it takes to open a cache of many shards: `python benchmarks/open_cache.py [--shards 10000]`.

The shards are tiny and published one by one through storage's own functions: one column, and raw files in place of the other
columns of a dump (creating an array takes ten times as long as a file), so that a document lists as many files as a dump's
does. Building takes minutes (set TMPDIR to a memory disk where flushing is slow), opening should take seconds.
"""

import argparse
import tempfile
from pathlib import Path
from time import perf_counter, process_time

import numpy as np

from miniend.cache import open_cache
from miniend.progress import progress_bar
from miniend.storage.columns import Column
from miniend.storage.folder import publish_folder
from miniend.storage.layout import calibration_path, extent_path, plan_path, shard_path, shard_table
from miniend.storage.markers import marker_members

SITES = ("encoder.self@11", "decoder.self@11", "decoder.cross@11")
FIDELITY = {site: {kind: {"total": 0.123456789, "count": 7} for kind in ("query", "key", "value")} for site in SITES}
COLUMNS = {"inputs.ids": Column(values=np.arange(4), axis="input")}
FILES = {f"relations.{site}.query_key_value/{number}": b"x" for site in SITES for number in range(6)}


def build(root: Path, shards: int) -> None:
    """Publish a plan, an extent, an empty calibration and that many shards."""
    plan = publish_folder(plan_path(root), "plan", {"validation_examples": 0, "shard_examples": 1})
    publish_folder(extent_path(root, 0), "extent", {"parent": plan, "examples": shards, "shard_examples": 1})
    calibration = publish_folder(calibration_path(root), "calibration", {"parent": plan, "sites": []})
    members = {"tokens": {"input": 4, "target": 4}, "fidelity": FIDELITY}
    with progress_bar("publishing", shards, "shard") as bar:
        for place in shard_table(0, [shards], 1):
            body = {**marker_members(place, calibration), **members}
            publish_folder(shard_path(root, place.split, place.number), "marker", body, COLUMNS, FILES, codec="zstd")
            bar.update(1)


def main() -> None:
    """Build, open three times, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shards", type=int, default=10_000)
    shards = parser.parse_args().shards
    with tempfile.TemporaryDirectory() as folder:
        build(Path(folder), shards)
        for _ in range(3):
            begun, worked = perf_counter(), process_time()
            cache = open_cache(folder)
            seconds, busy = perf_counter() - begun, process_time() - worked
            print(
                f"{len(cache.shards):,} shards opened in {seconds:.2f} s ({busy:.2f} s of processor time)", flush=True
            )


if __name__ == "__main__":
    main()
