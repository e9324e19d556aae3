"""All corpora of a dump as one stream of documents: mixed by weight, then shuffled in a buffer.

A document's index in this stream is what cursors count and what the choice of held-out documents hashes. The stream cannot be
entered in the middle: whoever goes on at an index reads what comes before it again, and throws it away.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from ...errors import ConfigurationError
from ...storage.documents.plan import PlannedCorpus
from ..config import DumpConfig
from .corpus import Corpus, documents, fingerprint, parse_corpus, pinned
from .files import Document
from .stream_order import interleaved, shuffled


@dataclass(frozen=True, kw_only=True, slots=True)
class Mixture:
    """Corpora, all of the same fields, and how they become one stream; made by `parse_mixture`."""

    corpora: tuple[Corpus, ...]
    weights: tuple[float, ...]
    """One per corpus, positive: the shares of documents while all corpora last."""
    shuffle_buffer: int
    """Documents; 0 keeps the order."""
    seed: int

    def pinned(self) -> "Mixture":
        """The same mixture, every hub dataset at the commit that it has now."""
        return replace(self, corpora=tuple(pinned(corpus) for corpus in self.corpora))

    def fingerprint(self) -> PlannedCorpus:
        """Return what the stream is made of; reads every local file once. The seed is elsewhere in a plan."""
        parts = zip(self.corpora, self.weights, strict=True)
        return PlannedCorpus(
            fields=self.corpora[0].fields,
            shuffle_buffer=self.shuffle_buffer,
            parts=tuple(fingerprint(corpus, weight) for corpus, weight in parts),
        )

    def require_documents(self) -> None:
        """Read the first document of every corpus. Raises CorpusError for a wrong field or an empty corpus."""
        for corpus in self.corpora:
            next(documents(corpus))

    def documents(self) -> Iterator[Document]:
        """Every document of every corpus, always in the same order; a corpus that ends first leaves the rest to the others."""
        streams = [documents(corpus) for corpus in self.corpora]
        return shuffled(interleaved(streams, self.weights, self.seed), self.shuffle_buffer, self.seed)


def parse_mixture(config: DumpConfig) -> Mixture:
    """The mixture that the settings ask for.

    Raises CorpusError where a corpus is not there and ConfigurationError where weights do not fit or a corpus comes twice.
    """
    corpora = tuple(parse_corpus(name, config.fields, config.split) for name in config.corpora)
    _require_distinct(corpora)
    weights = config.corpus_weight or (1.0,) * len(corpora)
    if len(weights) != len(corpora) or not all(math.isfinite(weight) and weight > 0 for weight in weights):
        raise ConfigurationError(
            f"expected one positive --corpus-weight for each of {len(corpora)} --corpus, in their order, or none at all; "
            f"found {', '.join(f'{weight:g}' for weight in weights)}"
        )
    return Mixture(corpora=corpora, weights=weights, shuffle_buffer=config.shuffle_buffer, seed=config.seed)


def _require_distinct(corpora: tuple[Corpus, ...]) -> None:
    """A document that comes twice would be held out in one place and trained on in the other."""
    seen: dict[str, str] = {}
    for corpus in corpora:
        for source in [str(path.resolve()) for path in corpus.files] or [str(corpus.hub or corpus.kind)]:
            if source in seen:
                raise ConfigurationError(
                    f"the corpora {seen[source]} and {corpus.name} share {source}: its documents would come twice, "
                    "held out and trained on; name it once and use --corpus-weight"
                )
            seen[source] = corpus.name
