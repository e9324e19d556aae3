"""A corpus: one name on the command line gives documents in a fixed order.

    python-docs                     the language reference that every Python has in pydoc_data.topics
    PATH or glob                    .txt, .jsonl, .jsonl.gz, .parquet; a glob is sorted by name
    hf:NAME[:CONFIG][@REVISION]     a dataset of the Hugging Face hub, or a local folder, through `datasets` streaming

A document is a tuple of texts, one per field: one text for denoising, input and target for pairs. We drop documents with an
empty text before we count them. `fingerprint` identifies a corpus and is part of a cache's plan. `mixture.py` makes one stream
of several corpora.
"""

import glob
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from ...errors import ConfigurationError, CorpusError
from ...storage.documents.plan import CorpusPart, PlannedCorpus
from .files import Document, check_ending, describe_file, read_file
from .hub import HubName, describe_hub, parse_hub_name, pin_hub, read_hub

PYTHON_DOCS = "python-docs"
DOCS_CHARACTERS = 2000
HUB_PREFIX = "hf:"


@dataclass(frozen=True, kw_only=True, slots=True)
class Corpus:
    """A source of documents, made by `parse_corpus`, which checks that local files exist."""

    name: str
    """The name as it was given, only for messages."""
    kind: Literal["python-docs", "files", "hf"]
    fields: tuple[str, ...]
    """One field for text, two for pairs: input and target."""
    files: tuple[Path, ...] = ()
    """The files in reading order, for `files`."""
    hub: HubName | None = None
    """The dataset, for `hf`."""


def parse_corpus(name: str, fields: tuple[str, ...], split: str = "train") -> Corpus:
    """Return the corpus of a name. Raises CorpusError if it is missing or empty; `split` matters only to `hf:` names."""
    if len(fields) not in (1, 2) or not all(fields):
        raise ConfigurationError(f"expected one field (text) or two (input, target), found {list(fields)}")
    if name == PYTHON_DOCS:
        _require_text(name, fields)
        return Corpus(name=name, kind="python-docs", fields=fields)
    if name.startswith(HUB_PREFIX):
        hub = parse_hub_name(name.removeprefix(HUB_PREFIX), split)
        return Corpus(name=name, kind="hf", fields=fields, hub=hub)
    return Corpus(name=name, kind="files", fields=fields, files=_find_files(name, fields))


def _require_text(name: str, fields: tuple[str, ...]) -> None:
    if len(fields) != 1:
        raise CorpusError(f"{name} is plain text without input and target fields; pairs need .jsonl, .parquet or hf:")


def _find_files(name: str, fields: tuple[str, ...]) -> tuple[Path, ...]:
    """Return the files of a path or glob, sorted by name. Raise CorpusError for an empty one or one of another kind."""
    files = [Path(name)] if Path(name).is_file() else [Path(p) for p in sorted(glob.glob(name, recursive=True))]
    files = [path for path in files if path.is_file()]
    if not files:
        hint = f"; write a folder as a glob, such as '{name}/*.jsonl.gz'" if Path(name).is_dir() else ""
        raise CorpusError(f"no file matches the corpus {name!r} (expected {PYTHON_DOCS}, files or hf:NAME){hint}")
    for path in files:
        check_ending(path)
        if path.name.endswith(".txt"):
            _require_text(str(path), fields)
        if path.stat().st_size == 0:
            raise CorpusError(f"the corpus file {path} is empty; remove it or leave it out of the glob")
    return tuple(files)


def pinned(corpus: Corpus, planned: PlannedCorpus | None = None) -> Corpus:
    """Return the same corpus, with a hub dataset at one commit; see `pin_hub`."""
    return corpus if corpus.hub is None else replace(corpus, hub=pin_hub(corpus.hub, planned))


def fingerprint(corpus: Corpus, weight: float) -> CorpusPart:
    """Return what identifies the corpus, but not where it is. Reads every local file once for its SHA-256."""
    if corpus.hub is not None:
        hub, files = describe_hub(corpus.hub)
        return CorpusPart(kind=corpus.kind, weight=weight, hub=hub, files=files)
    if corpus.kind == "files":
        files = tuple(describe_file(path) for path in corpus.files)
        return CorpusPart(kind=corpus.kind, weight=weight, files=files)
    text = "\0".join(text for (text,) in _python_docs())
    return CorpusPart(kind=corpus.kind, weight=weight, sha256=hashlib.sha256(text.encode()).hexdigest())


def documents(corpus: Corpus) -> Iterator[Document]:
    """Yield every document without a blank text, always in the same order. Raises CorpusError if there are none."""
    empty = True
    for document in _all_documents(corpus):
        if all(text.strip() for text in document):
            empty = False
            yield document
    if empty:
        raise CorpusError(
            f"the corpus {corpus.name} does not have a document with text in {' and '.join(corpus.fields)}; "
            "give another corpus, or other fields with --field"
        )


def _all_documents(corpus: Corpus) -> Iterator[Document]:
    if corpus.hub is not None:
        yield from read_hub(corpus.hub, corpus.fields)
    elif corpus.kind == "files":
        for path in corpus.files:
            yield from read_file(path, corpus.fields)
    else:
        yield from _python_docs()


def _python_docs() -> Iterator[Document]:
    """Yield the topics of `help()`, by key. They differ between Python versions, which the fingerprint shows.

    We cut long topics at blank lines into documents of about DOCS_CHARACTERS. A sixth of the text is one topic, and validation
    examples come from whole documents.
    """
    from pydoc_data import topics

    for key in sorted(topics.topics):
        for block in _blocks_of(topics.topics[key]):
            yield (block,)


def _blocks_of(topic: str) -> Iterator[str]:
    """Yield blocks of consecutive paragraphs of a topic, each of at least DOCS_CHARACTERS characters except the last."""
    block = ""
    for paragraph in topic.split("\n\n"):
        block = f"{block}\n\n{paragraph}" if block else paragraph
        if len(block) >= DOCS_CHARACTERS:
            yield block
            block = ""
    if block:
        yield block
