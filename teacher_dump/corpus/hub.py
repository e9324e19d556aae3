"""Corpora through the `datasets` library: a dataset of the Hugging Face hub, or a local folder of data files.

We stream them in the order of the files, so that we download only what we read. The library's own errors are many and long; we
raise one CorpusError that names the corpus.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...errors import CorpusError, in_one_line
from ...runtime.hub import commit_of
from ...storage.documents.plan import CorpusFile, HubDataset, PlannedCorpus
from .files import describe_file, pick_fields


@dataclass(frozen=True, kw_only=True, slots=True)
class HubName:
    """One split of one configuration of a dataset."""

    name: str
    """The hub name (`owner/name`) or the path of a local folder."""
    config: str | None
    revision: str | None
    split: str

    def __str__(self) -> str:
        config = f":{self.config}" if self.config else ""
        revision = f"@{self.revision}" if self.revision else ""
        return f"hf:{self.name}{config}{revision} ({self.split})"


def parse_hub_name(text: str, split: str) -> HubName:
    """Return the dataset of NAME[:CONFIG][@REVISION]; neither a hub name nor a local path may contain ':' or '@'.

    Raises CorpusError for another form, and for a revision of a local folder.
    """
    rest, at, revision = text.partition("@")
    name, colon, config = rest.partition(":")
    if not name or (at and not revision) or (colon and not config):
        raise CorpusError(f"expected hf:NAME[:CONFIG][@REVISION], found 'hf:{text}'")
    if at and Path(name).is_dir():
        raise CorpusError(f"a local folder does not have revisions, found 'hf:{text}'; leave @{revision} out")
    return HubName(name=name, config=config or None, revision=revision or None, split=split)


def read_hub(hub: HubName, fields: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Yield the named fields of every row, in the dataset's order, blank ones included."""
    try:
        for number, row in enumerate(_stream(hub)):
            yield pick_fields(row, fields, f"{hub}, row {number}")
    except CorpusError:
        raise
    except Exception as error:
        raise _unreadable(hub, error) from error


def describe_hub(hub: HubName) -> tuple[HubDataset, tuple[CorpusFile, ...] | None]:
    """Return the dataset with its commit; for a local folder, also the files whose digests identify its content."""
    if Path(hub.name).is_dir():
        files = tuple(describe_file(Path(file)) for file in _local_files(hub))
        name = Path(hub.name).resolve().name
        return HubDataset(name=name, config=hub.config, split=hub.split, revision=None), files
    return HubDataset(name=hub.name, config=hub.config, split=hub.split, revision=hub.revision), None


def pin_hub(hub: HubName, planned: PlannedCorpus | None = None) -> HubName:
    """Return the same dataset at one commit, so that we read the commit that we record.

    It is the present commit of its revision, or the one of `planned`, with which a dump began; see `runtime/hub.py`.
    """
    if Path(hub.name).is_dir():
        return hub
    commit = commit_of("dataset", hub.name, hub.revision, _known(hub, planned))
    return replace(hub, revision=commit or hub.revision)


def _known(hub: HubName, planned: PlannedCorpus | None) -> str | None:
    """Return the commit at which a plan reads this dataset; None if it does not."""
    wanted = (hub.name, hub.config, hub.split)
    read = [part.hub for part in planned.parts if part.hub is not None] if planned is not None else []
    return next((one.revision for one in read if (one.name, one.config, one.split) == wanted), None)


def _stream(hub: HubName) -> Any:
    import datasets

    return datasets.load_dataset(hub.name, name=hub.config, revision=hub.revision, split=hub.split, streaming=True)


def _local_files(hub: HubName) -> list[str]:
    """Return the files of the split in reading order, as `datasets` finds them."""
    import datasets

    try:
        return list(datasets.load_dataset_builder(hub.name, name=hub.config).config.data_files[hub.split])
    except Exception as error:
        raise _unreadable(hub, error) from error


def _unreadable(hub: HubName, error: Exception) -> CorpusError:
    return CorpusError(
        f"{hub} cannot be read through datasets: {in_one_line(error)}; check name, config, revision, split and network"
    )
