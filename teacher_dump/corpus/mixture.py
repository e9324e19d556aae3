"""All corpora of a dump as one stream of documents, mixed by weight and then shuffled in a buffer.

Cursors count a document's index in this stream, and the choice of validation documents hashes it. The stream can be read only
from its beginning: a dump that continues at an index reads the documents before it again and drops them.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import islice
from pathlib import Path

from ...data.digests import State, state_of
from ...errors import ConfigurationError
from ...storage.documents.plan import CorpusFile, PlannedCorpus
from ..config import DumpConfig
from .corpus import Corpus, Document, documents, fingerprint, is_blank, parse_corpus, pinned
from .file_lists import list_name, with_list
from .stream_order import interleaved, shuffled

MOST_NOTES = 5
"""The number of lines on files that are printed; the others are counted."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What identifies a mixture."""

    planned: PlannedCorpus
    lists: Mapping[str, bytes]
    """The lists of files, by name, of the parts that have too many for a plan."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Mixture:
    """Corpora, and how they become one stream; made by `parse_mixture`."""

    corpora: tuple[Corpus, ...]
    weights: tuple[float, ...]
    """The shares of documents while all corpora last: one positive number per corpus."""
    shuffle_buffer: int
    """The number of documents in the buffer; 0 keeps the order."""
    seed: int
    distinct: bool = False
    """Whether documents that came before are left out of the examples."""
    notes: dict[str, None] = field(default_factory=dict, compare=False)
    """Lines on how files were read, each once, from the streams that were read so far."""
    hashed: dict[Path, State] = field(default_factory=dict, compare=False)
    """The states of local files just before their digests were taken."""

    def pinned(self, planned: PlannedCorpus | None = None) -> "Mixture":
        """Return the same mixture, with every hub dataset at one commit: the present one, or the one of the plan so far."""
        return replace(self, corpora=tuple(pinned(corpus, planned) for corpus in self.corpora))

    def fingerprint(self) -> Fingerprint:
        """Return what identifies the stream except the seed, which is elsewhere in a plan. Hashes local files."""
        shared = self.corpora[0].fields
        self.hashed.update((path, state_of(path)) for corpus in self.corpora for path in corpus.files)
        whole = [fingerprint(corpus, weight) for corpus, weight in zip(self.corpora, self.weights, strict=True)]
        self._note_copies(file for part in whole for file in part.files or ())
        found = [with_list(part) for part in whole]
        own = [None if corpus.fields == shared else corpus.fields for corpus in self.corpora]
        planned = PlannedCorpus(
            fields=shared,
            shuffle_buffer=self.shuffle_buffer,
            parts=tuple(replace(part, fields=fields) for (part, _), fields in zip(found, own, strict=True)),
            distinct=self.distinct or None,
        )
        return Fingerprint(
            planned, {list_name(n): content for n, (_, content) in enumerate(found) if content is not None}
        )

    def require_documents(self) -> None:
        """Read the first document with text of every corpus. Raises CorpusError for a wrong field or an empty corpus."""
        for corpus in self.corpora:
            next(document for document in documents(corpus, hashed=self.hashed) if not is_blank(document))

    def first_documents(self, count: int) -> Iterator[Document]:
        """Yield the first documents of every corpus, at most `count` of each."""
        for corpus in self.corpora:
            yield from islice(documents(corpus, hashed=self.hashed), count)

    def documents(self) -> Iterator[Document]:
        """Yield every document of every corpus, always in the same order; when a corpus ends, the others continue."""
        streams = [documents(corpus, self._note, self.hashed) for corpus in self.corpora]
        return shuffled(interleaved(streams, self.weights, self.seed), self.shuffle_buffer, self.seed)

    def note_lines(self) -> Iterator[str]:
        """Yield the first lines on how files were read, and the number of the others."""
        yield from islice(self.notes, MOST_NOTES)
        if len(self.notes) > MOST_NOTES:
            yield f"... and {len(self.notes) - MOST_NOTES:,} more lines on other files"

    def _note_copies(self, files: Iterable[CorpusFile]) -> None:
        """Note that files have equal content, such as a second download."""
        first: dict[str, str] = {}
        copies: list[tuple[str, str]] = []
        for file in files:
            if file.sha256 in first:
                copies.append((file.name, first[file.sha256]))
            else:
                first[file.sha256] = file.name
        if copies:
            copy, original = copies[0]
            self._note(
                f"warning: files of the corpus with the content of another: {len(copies):,}, such as {copy}, which equals "
                f"{original}. Their documents come twice, and may be both held out and trained on; leave copies out"
            )

    def _note(self, line: str) -> None:
        self.notes[line] = None


def parse_mixture(config: DumpConfig) -> Mixture:
    """Return the mixture of the settings.

    Raises CorpusError for a missing corpus, and ConfigurationError for weights that do not fit or a corpus that comes twice.
    """
    corpora = tuple(
        parse_corpus(name, config.fields_of(number), config.split) for number, name in enumerate(config.corpora)
    )
    _require_distinct(corpora)
    weights = config.corpus_weight or (1.0,) * len(corpora)
    if len(weights) != len(corpora) or not all(weight > 0 for weight in weights):
        raise ConfigurationError(
            f"expected one positive --corpus-weight for each of {len(corpora)} --corpus, in their order, or none at all; "
            f"found {', '.join(f'{weight:g}' for weight in weights)}"
        )
    return Mixture(
        corpora=corpora,
        weights=weights,
        shuffle_buffer=config.shuffle_buffer,
        seed=config.seed,
        distinct=config.drop_duplicates,
    )


def _require_distinct(corpora: tuple[Corpus, ...]) -> None:
    """Raise ConfigurationError if two corpora share a source.

    A document that comes twice could be held out in one place and trained on in the other.
    """
    seen: dict[str, str] = {}
    resolved = cache(Path.resolve)  # of folders: there are fewer of them
    for corpus in corpora:
        places = (path.resolve() if path.is_symlink() else resolved(path.parent) / path.name for path in corpus.files)
        for source in [str(place) for place in places] or [str(corpus.hub or corpus.kind)]:
            if source in seen:
                raise ConfigurationError(
                    f"the corpora {seen[source]} and {corpus.name} share {source}: its documents would come twice, "
                    "and could be both held out and trained on; name it once and use --corpus-weight"
                )
            seen[source] = corpus.name
