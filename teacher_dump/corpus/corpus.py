"""A corpus: one name on the command line gives documents in a fixed order.

    python-docs, python-source      text that every Python environment has (`built_in.py`)
    PATH or glob                    files that data/rows.py reads, or a folder of `save_to_disk`; a glob is sorted by name
    hf:NAME[:CONFIG][@REVISION]     a dataset of the Hugging Face hub, or a local folder, through `datasets`

A document is a tuple of texts, one per field: one text for denoising, input and target for pairs. Documents with a blank text
are part of the stream; packing leaves them out and counts them. `fingerprint` identifies a corpus and is part of a cache's
plan. `mixture.py` makes one stream of several corpora.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from glob import has_magic
from pathlib import Path
from types import MappingProxyType

from ...data.arrow_rows import is_saved_dataset, saved_files
from ...data.digests import State, digests_of, require_unchanged
from ...data.fields import first_filled, joined, texts_of
from ...data.globs import files_matching, glob_for
from ...data.long_text import Text, is_blank_text
from ...data.opening import require_content
from ...data.row import Row
from ...data.rows import READABLE, TEXT, ending_of, read_rows
from ...data.text import has_line_documents, text_documents
from ...errors import ConfigurationError, CorpusError, one_line
from ...runtime.progress import Log, silent
from ...runtime.there import listed, look, what_is_there
from ...storage.documents.plan import CorpusFile, CorpusPart, PlannedCorpus
from .built_in import BUILT_IN
from .hub import HubName, describe_hub, local_files, parse_hub_name, pin_hub, stream_hub

Document = tuple[Text, ...]
_NOTHING: Mapping[Path, State] = MappingProxyType({})
HUB_PREFIX = "hf:"
_HUB_NAME = re.compile(r"[\w-]+/[\w.-]+")


@dataclass(frozen=True, kw_only=True, slots=True)
class Corpus:
    """A source of documents, made by `parse_corpus`, which checks that local files exist."""

    name: str
    """The name as it was given, only for messages."""
    kind: str
    """`files`, `hf`, or the name of a corpus that is built in."""
    fields: tuple[str, ...]
    """One field for text, two for pairs: input and target."""
    files: tuple[Path, ...] = ()
    """The files in reading order: for `files`, and for `hf` of a local folder."""
    hub: HubName | None = None
    """The dataset, for `hf`."""


def parse_corpus(name: str, fields: tuple[str, ...], split: str = "train") -> Corpus:
    """Return the corpus of a name. `split` is the one of `hf:` names and of saved datasets.

    Raises CorpusError if it is missing or empty, or holds files of another kind.
    """
    if len(fields) not in (1, 2) or not all(fields):
        raise ConfigurationError(f"expected one field (text) or two (input, target), found {list(fields)}")
    if name in BUILT_IN:
        _require_text(name, fields)
        return Corpus(name=name, kind=name, fields=fields)
    if name.startswith(HUB_PREFIX):
        hub = parse_hub_name(name.removeprefix(HUB_PREFIX), split)
        return Corpus(name=name, kind="hf", fields=fields, hub=hub, files=_checked(local_files(hub), fields))
    return Corpus(name=name, kind="files", fields=fields, files=_checked(_find_files(name, split), fields))


def _require_text(name: str, fields: tuple[str, ...]) -> None:
    if len(fields) != 1:
        raise CorpusError(
            f"{name} is plain text without input and target fields; pairs need a file with columns or hf:"
        )


def _find_files(name: str, split: str) -> list[Path]:
    """Return the files of a path, a saved dataset or a glob, sorted by name. Raise CorpusError if there are none."""
    path = Path(name)
    if path.is_dir() and is_saved_dataset(path):
        return saved_files(path, split)
    files = [path] if path.is_file() else files_matching(name)
    if files:
        return files
    if path.is_dir() and ((there := look(path)).of_miniend or there.models):
        raise CorpusError(f"the corpus {name!r} is {there.words}; expected text in files: {READABLE}")
    if path.is_dir():
        pattern, names = glob_for(path), sorted(one.name for one in path.iterdir())
        advice = f"write a folder as a quoted glob, such as --corpus '{pattern}'" if pattern else f"expected {READABLE}"
        raise CorpusError(f"the corpus {name!r} is a folder that holds {listed(names)}; {advice}")
    raise CorpusError(
        f"no file matches the corpus {name!r} (expected {', '.join(BUILT_IN)}, files or hf:NAME): "
        + ("the glob matches nothing" if has_magic(name) else what_is_there(path))
        + (f"; for a dataset of the hub write --corpus hf:{name}" if _HUB_NAME.fullmatch(name) else "")
    )


def _checked(files: Iterable[Path], fields: tuple[str, ...]) -> tuple[Path, ...]:
    """Return the files. Raise CorpusError for an empty one, a Git LFS pointer, and a file of another kind."""
    files = tuple(files)
    for path in files:
        ending = ending_of(path)
        if ending is None:
            raise CorpusError(f"expected a corpus file ending in {READABLE}, found {path}")
        if ending == TEXT:
            _require_text(str(path), fields)
        require_content(path)
    return files


def pinned(corpus: Corpus, planned: PlannedCorpus | None = None) -> Corpus:
    """Return the same corpus, with a hub dataset at one commit; see `pin_hub`."""
    return corpus if corpus.hub is None else replace(corpus, hub=pin_hub(corpus.hub, planned))


def fingerprint(corpus: Corpus, weight: float) -> CorpusPart:
    """Return what identifies the corpus, but not where it is. Reads local files for their SHA-256, unless that is kept."""
    files = tuple(
        CorpusFile(name=one_line(path.name), bytes=path.stat().st_size, sha256=digest)
        for path, digest in zip(corpus.files, digests_of(corpus.files), strict=True)
    )
    if corpus.kind in BUILT_IN:
        return CorpusPart(kind=corpus.kind, weight=weight, sha256=_digest_of(BUILT_IN[corpus.kind](silent)))
    hub = None if corpus.hub is None else describe_hub(corpus.hub)
    return CorpusPart(kind=corpus.kind, weight=weight, hub=hub, files=files or None)


def _digest_of(texts: Iterable[str]) -> str:
    """Return the SHA-256 of texts with a NUL between them, in hexadecimal."""
    digest = hashlib.sha256()
    for number, text in enumerate(texts):
        digest.update(b"\0" * (number > 0) + text.encode())
    return digest.hexdigest()


def documents(corpus: Corpus, note: Log = silent, hashed: Mapping[Path, State] = _NOTHING) -> Iterator[Document]:
    """Yield every document, always in the same order; `note` gets lines on how files were read.

    Raises CorpusError for what cannot be read, for a file that has changed since it was `hashed`, and at the end if no document
    had text.
    """
    empty = True
    for document in _all_documents(corpus, note, hashed):
        empty = empty and is_blank(document)
        yield document
    if empty:
        raise CorpusError(
            f"the corpus {corpus.name} does not have a document with text in {' and '.join(corpus.fields)}; "
            "give another corpus, or other fields with --field"
        )


def is_blank(document: Document) -> bool:
    """Return whether one of a document's texts holds only white space."""
    return any(is_blank_text(text) for text in document)


def _all_documents(corpus: Corpus, note: Log, hashed: Mapping[Path, State]) -> Iterator[Document]:
    if corpus.kind in BUILT_IN:
        yield from ((text,) for text in BUILT_IN[corpus.kind](note))
    elif corpus.hub is not None and not corpus.files:
        for row in stream_hub(corpus.hub):
            yield _document(row, corpus.fields)
    else:
        for path in corpus.files:
            require_unchanged(path, hashed.get(path))
            yield from _of_file(path, corpus.fields, note)
            require_unchanged(path, hashed.get(path))


def _of_file(path: Path, fields: tuple[str, ...], note: Log) -> Iterator[Document]:
    if ending_of(path) == TEXT:
        if by_line := has_line_documents(path):
            note(f"{path}: without blank lines at its beginning, so each line is a document")
        for text in text_documents(path, by_line):
            yield (text,)
        return
    for row in read_rows(path, fields, log=note):
        yield _document(row, fields)


def _document(row: Row, fields: tuple[str, ...]) -> Document:
    """Return the texts of a row. A list of sentences is one text; of a list of targets, we take the first with text."""
    text = joined(texts_of(row, fields[0], row.place))
    return (text,) if len(fields) == 1 else (text, first_filled(texts_of(row, fields[1], row.place)))
