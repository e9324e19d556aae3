"""Estimate the disk space of shards from a few of them: for `miniend estimate`, and before the first shard of a dump.

We read only the sizes that documents list. We count document and Zarr metadata per folder, the data of columns per token of
their axis, and tokens per example.
"""

import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...cache.logit_columns import ENTRY
from ...errors import MiniEndError
from ...models.families import family_named
from ...runtime.temporary import temporary_folder
from ...storage.documents.calibration import Calibration
from ...storage.documents.marker import Marker, ShardMarker
from ...storage.folder import PublishedFolder, publish_folder
from ...storage.layout import ShardRange, shards_path
from ...storage.markers import published
from ...storage.stores.place import Where, place_of
from ..prepare import Prepared
from .encoder import ShardEncoder, Timings
from .loop import examples_in

SLACK = 1.1
"""The free space that a dump needs, in units of the estimate, which may be 10 % too small."""
SAMPLE_EXAMPLES = 32
"""The largest number of examples that we encode."""
SAMPLE_SHARDS = 8
"""The largest number of published shards that we look at."""
LENGTH_EXAMPLES = 1024
"""The largest number of examples whose lengths we average."""
GB = 1e9

DOCUMENTS = "markers"


@dataclass(frozen=True, slots=True)
class FolderSizes:
    """The sizes of folders of one kind, in bytes by signal."""

    per_folder: Mapping[str, float]
    per_example: Mapping[str, float]

    def of(self, examples: int, folders: int) -> dict[str, float]:
        """Return the bytes of so many examples in so many folders, by signal."""
        names = dict.fromkeys([*self.per_example, *self.per_folder])
        return {
            name: self.per_example.get(name, 0.0) * examples + self.per_folder.get(name, 0.0) * folders
            for name in names
        }


def folder_sizes(folders: Sequence[PublishedFolder], tokens: Mapping[str, float] | None = None) -> FolderSizes:
    """Return the sizes of folders like these segments or shards.

    `tokens` is the number of tokens of a typical example by axis, by default the mean of these folders. Entries of lists grow
    with the last axis, the labels'.
    """
    fixed, data = Counter[str](), Counter[str]()
    examples = sum(folder.parsed(Marker).count for folder in folders)
    for folder in folders:
        fixed[DOCUMENTS] += folder.document_bytes
        for name, column in folder.columns.items():
            metadata = int(folder.document["files"][f"{name}/zarr.json"]["bytes"])
            fixed[signal_of(name)] += metadata
            data[signal_of(name)] += (column["bytes"] - metadata) * _typical(folder, column["axis"], tokens)
    count = len(folders)
    return FolderSizes(
        {name: size / count for name, size in fixed.items()}, {name: size / examples for name, size in data.items()}
    )


def signal_of(column: str) -> str:
    """Return the signal of a column: `inputs` (for targets too), `logits`, `segments`, or a site's full name."""
    group, _, rest = column.partition(".")
    if group in ("inputs", "targets"):
        return "inputs"
    site, _, layer = rest.partition("@")
    return f"{site}@{layer.partition('.')[0]}" if layer else group


def typical_tokens(prepared: Prepared) -> dict[str, float]:
    """Return the mean number of tokens of a training example by axis, from the first examples."""
    axes = family_named(prepared.plan.teacher.facts.model_type).axes
    count = min(LENGTH_EXAMPLES, prepared.source.segments.count("train"))
    lengths = [[len(part) for part in prepared.source.example("train", index)] for index in range(count)]
    return dict(zip(axes, np.mean(lengths, axis=0).tolist(), strict=True))


def require_space(root: Where, prepared: Prepared, pending: Sequence[ShardRange], encoder: ShardEncoder) -> None:
    """Raise MiniEndError unless the pending shards fit on the disk of the cache.

    We estimate from published shards, or from a few examples that the codecs were not fitted on. Every rank counts all pending
    shards, because the ranks share the directory. For an object store this is the directory of the mirror, which keeps what
    this machine writes.
    """
    if not pending:
        return
    sizes = _known_sizes(root, prepared) or _sampled_sizes(prepared, encoder)
    needed = sum(sizes.of(examples_in(pending), len(pending)).values())
    folder = place_of(root).local
    free = shutil.disk_usage(folder).free
    if needed * SLACK > free:
        raise MiniEndError(
            f"the disk is too small: the {len(pending):,} shards still to write need about {in_gb(needed)} GB, but {folder} has "
            f"only {in_gb(free)} GB free. Make room, dump a part (--shards), start another cache with fewer examples or coarser "
            "settings, or write anyway with --force"
        )


def in_gb(size: float) -> str:
    """Return bytes as GB with three digits, for people: `1,234`, `12.3`, `0.0123`."""
    return f"{size / GB:,.0f}" if size >= 100 * GB else f"{size / GB:.3g}"


def _known_sizes(root: Where, prepared: Prepared) -> FolderSizes | None:
    there = published(shards_path(root), prepared.table)
    first = [shard for shard in reversed(prepared.table) if shard in there][:SAMPLE_SHARDS]
    return (
        folder_sizes([PublishedFolder(shards_path(root) / shard.name, "marker") for shard in first]) if first else None
    )


def _sampled_sizes(prepared: Prepared, encoder: ShardEncoder) -> FolderSizes:
    """Return sizes from a few examples, which we encode, write into a temporary directory and remove."""
    start, stop = prepared.calibration.parsed(Calibration).examples.report
    shard = ShardRange("train", 0, start, min(stop, start + SAMPLE_EXAMPLES))
    encoded, encoder.timings = encoder.encode(shard), Timings()
    with temporary_folder() as folder:
        path = folder / shard.name
        publish_folder(path, "marker", encoded.marker.body(), encoded.columns, codec=prepared.plan.codec)
        return folder_sizes([PublishedFolder(path, "marker")], typical_tokens(prepared))


def _typical(folder: PublishedFolder, axis: str, tokens: Mapping[str, float] | None) -> float:
    """Return the factor that makes the data of a column as large as that of typical examples."""
    if tokens is None:
        return 1.0
    axis = list(tokens)[-1] if axis == ENTRY else axis
    if axis not in tokens:
        return 1.0
    marker = folder.parsed(ShardMarker)
    return tokens[axis] * marker.count / max(1, marker.tokens[axis])
