"""Read some text of the corpus as others would read it, and name each difference to the ids that the dump uses.

The teacher's own files decide the ids (models/tokenizer.py). But whoever opens the teacher with transformers gets what its class
makes of the vocabulary, and a SentencePiece model is converted. Real text shows whether these are the same.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ...data.long_text import beginning_of
from ...models.tokenizer import class_tokenizer, sentencepiece_file
from .mixture import Mixture
from .plain_text import special_tokens, unknown_id
from .tokenizer import TextTokenizer

DOCUMENTS = 64
"""The number of documents of each corpus that are compared."""
CHARACTERS = 2000
"""The number of characters of each text that are compared."""

Read = Callable[[str], list[int]]


@dataclass(frozen=True, slots=True)
class Readings:
    """What others make of the teacher's tokenizer."""

    lines: tuple[str, ...]
    """A warning for each reading that gives text of the corpus other ids."""
    by_class: bool
    """Whether the class that transformers picks gives the ids of the teacher's own file."""


def other_readings(name: str | Path, revision: str | None, tokenizer: TextTokenizer, mixture: Mixture) -> Readings:
    """Compare the other readings of the teacher's tokenizer on some text of the corpus."""
    special = special_tokens(tokenizer.tokenizer)
    texts = [beginning_of(text, CHARACTERS) for document in mixture.first_documents(DOCUMENTS) for text in document]
    texts = [text for text in texts if not any(token in text for token in special)]
    ours = tokenizer.encoder()(texts)
    lines = []
    if path := sentencepiece_file(name, revision):
        from sentencepiece import SentencePieceProcessor

        theirs = list(map(SentencePieceProcessor(model_file=str(path)).encode, texts))
        if theirs != ours:
            lines.append(_line(f"sentencepiece with {path.name}", ours, theirs, tokenizer))
    kind, read = _class_reader(name, revision)
    if read is None:  # nobody can use this class, so it cannot be told apart either
        return Readings(tuple(lines), by_class=False)
    theirs = [read(text) for text in texts]
    if theirs != ours:
        lines.append(_line(f"transformers' {kind}", ours, theirs, tokenizer))
    return Readings(tuple(lines), by_class=theirs == ours)


def _line(reader: str, ours: list[list[int]], theirs: list[list[int]], tokenizer: TextTokenizer) -> str:
    different = sum(own != other for own, other in zip(ours, theirs, strict=True))
    unknown = unknown_id(tokenizer.tokenizer)
    found, own = (sum(unknown is not None and ids.count(unknown) for ids in rows) for rows in (theirs, ours))
    return (
        f"warning: {reader} gives {different} of {len(ours)} texts of the corpus other ids than the teacher's own file "
        f"({found} unknown tokens, the file {own}); this cache and its students use the file"
    )


def _class_reader(name: str | Path, revision: str | None) -> tuple[str, Read | None]:
    """Return the name of the class that transformers picks, and how it reads a text; None if it cannot be loaded."""
    try:
        tokenizer = class_tokenizer(name, revision)
    except Exception:  # transformers raises what its many layers raise
        return "", None
    return (
        type(tokenizer).__name__,
        lambda text: list(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]),
    )
