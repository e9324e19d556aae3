"""Corpora through the `datasets` library: a dataset of the Hugging Face hub, or a local folder of data files.

We stream a dataset in the order of its files, so that we download only what we read. Of a local folder `datasets` says which
files belong to a split; we read those ourselves, so that an error names file and line. The library's own errors are many and
long; we raise one CorpusError that names the corpus and what to do.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...data.arrow_rows import is_saved_dataset
from ...data.globs import require_whole
from ...data.row import Row
from ...data.rows import ending_of
from ...errors import CorpusError, in_one_line
from ...runtime.hub import commit_of
from ...runtime.progress import waiting
from ...runtime.there import look, what_is_there
from ...storage.documents.plan import HubDataset, PlannedCorpus

ADVICE = (
    (
        ("cast", "column", "schema", "JSON parse", "generating the dataset"),
        "its files do not agree in columns and types: name files that do, or download them and name them without hf:",
    ),
    (("Config name is missing", "BuilderConfig", "nknown config"), "name a configuration: hf:NAME:CONFIG"),
    (("Bad split", "Unknown split"), "name one of its splits with --split"),
    (("doesn't exist", "not found", "gated", "401", "403", "404"), "check the name; a private one needs HF_TOKEN"),
)
"""Words in an error of `datasets`, and what to do. Anything else may be the network."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HubName:
    """One split of one configuration of a dataset."""

    name: str
    """The hub name (`owner/name`) or the path of a local folder."""
    config: str | None
    revision: str | None
    split: str

    @property
    def is_local(self) -> bool:
        """Whether it is a folder on this machine."""
        return Path(self.name).is_dir()

    def __str__(self) -> str:
        config = f":{self.config}" if self.config else ""
        revision = f"@{self.revision}" if self.revision else ""
        return f"hf:{self.name}{config}{revision} ({self.split})"


def parse_hub_name(text: str, split: str) -> HubName:
    """Return the dataset of NAME[:CONFIG][@REVISION]; neither a hub name nor a local path may contain ':' or '@'.

    Raises CorpusError for another form, for a revision of a local folder, and for a local path without data for `datasets`.
    """
    rest, at, revision = text.partition("@")
    name, colon, config = rest.partition(":")
    if not name or (at and not revision) or (colon and not config):
        raise CorpusError(f"expected hf:NAME[:CONFIG][@REVISION], found 'hf:{text}'")
    path = Path(name)
    if at and path.is_dir():
        raise CorpusError(f"a local folder does not have revisions, found 'hf:{text}'; leave @{revision} out")
    if path.is_file() or is_saved_dataset(path):
        raise CorpusError(
            f"hf: reads a dataset of the hub or a folder of data files; write --corpus {name} without hf:"
        )
    if path.is_dir() and ((there := look(path)).of_miniend or there.models):
        raise CorpusError(f"hf:{text} is {there.words}; expected a dataset of the hub or a folder of data files")
    if not path.is_dir() and (name[0] in "./~" or name.count("/") > 1):
        raise CorpusError(f"the folder of the corpus hf:{text} does not exist: {what_is_there(path)}")
    return HubName(name=name, config=config or None, revision=revision or None, split=split)


def stream_hub(hub: HubName) -> Iterator[Row]:
    """Yield every row of a dataset, in its order."""
    import datasets

    datasets.disable_progress_bars()
    settings = {"name": hub.config, "revision": hub.revision, "split": hub.split, "streaming": True}
    try:
        with waiting(f"opening {hub.name} on the hub"):
            rows = enumerate(datasets.load_dataset(hub.name, **settings))
    except Exception as error:
        raise _unreadable(hub, error) from error
    while True:
        try:
            number, row = next(rows, (0, None))
        except Exception as error:
            raise _unreadable(hub, error) from error
        if row is None:
            return
        yield Row(row, f"{hub}, row {number}")


def describe_hub(hub: HubName) -> HubDataset:
    """Return the dataset with its commit; a local folder has none, because the digests of its files identify it."""
    name = Path(hub.name).resolve().name if hub.is_local else hub.name
    return HubDataset(name=name, config=hub.config, split=hub.split, revision=hub.revision)


def pin_hub(hub: HubName, planned: PlannedCorpus | None = None) -> HubName:
    """Return the same dataset at one commit, so that we read the commit that we record.

    It is the present commit of its revision, or the one of `planned`, with which a dump began; see `runtime/hub.py`.
    """
    if hub.is_local:
        return hub
    commit = commit_of("dataset", hub.name, hub.revision, _known(hub, planned))
    return replace(hub, revision=commit or hub.revision)


def _known(hub: HubName, planned: PlannedCorpus | None) -> str | None:
    """Return the commit at which a plan reads this dataset; None if it does not."""
    wanted = (hub.name, hub.config, hub.split)
    read = [part.hub for part in planned.parts if part.hub is not None] if planned is not None else []
    return next((one.revision for one in read if (one.name, one.config, one.split) == wanted), None)


def local_files(hub: HubName) -> list[Path]:
    """Return the files of a split of a local folder in reading order, as `datasets` finds them; none of a hub dataset."""
    import datasets

    if not hub.is_local:
        return []
    require_whole(Path(hub.name))  # datasets passes over a folder that cannot be listed
    try:
        found: Any = datasets.load_dataset_builder(hub.name, name=hub.config).config.data_files
    except Exception as error:
        raise _unreadable(hub, error) from error
    if hub.split not in found:
        raise CorpusError(f"{hub} has the splits {', '.join(map(str, found))}; name one with --split")
    files = [Path(str(file)) for file in found[hub.split]]
    if strange := [path.name for path in files if ending_of(path) is None]:
        raise CorpusError(f"{hub} holds files that cannot be read: {', '.join(strange[:3])}; name others without hf:")
    return files


def _unreadable(hub: HubName, error: Exception) -> CorpusError:
    text = f"{type(error).__name__} {error}"
    if hub.is_local:
        there = look(Path(hub.name)).words
        return CorpusError(
            f"{hub}: datasets finds no data there ({in_one_line(error)}): it is {there}; name files or a glob without hf:"
        )
    offline = isinstance(error, ConnectionError | TimeoutError)
    found = next((advice for words, advice in ADVICE if not offline and any(word in text for word in words)), None)
    return CorpusError(
        f"{hub} cannot be read through datasets: {in_one_line(error)}; "
        + (f"nor is {hub.name} a folder here ({what_is_there(Path(hub.name))}); " if offline or not found else "")
        + (found or "check name, config, revision, split and network")
    )
