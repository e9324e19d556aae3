"""Read some text of the corpus as others would read it, and name each difference to the ids that the dump uses.

The teacher's own files decide the ids (models/tokenizer.py). But whoever opens the teacher with transformers gets what its class
makes of the vocabulary, and a SentencePiece model is converted. Real text shows whether these are the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...data.long_text import beginning_of
from ...errors import shortened
from ...models.tokenizer import class_tokenizer, sentencepiece_file
from ...runtime.durable import leads_nowhere
from .mixture import Mixture
from .plain_text import special_tokens, unknown_id
from .tokenizer import TextTokenizer

DOCUMENTS = 64
"""The number of documents of each corpus that are compared."""
CHARACTERS = 2000
"""The number of characters of each text that are compared."""
PROBES = (
    "UPPER and Title",
    "two  spaces,\ttab\n\nlines ",
    " ﬁne ｆｕｌｌ ² ½",
    "Größe e\u0301 \u00a0 \u200b",
    "x_1 3.14 12345",
    "日本 👩\u200d👧",
)
"""Texts in which readings differ that agree on a corpus of plain words: case, white space, compatibility forms, accents.

We also compare texts around each special token, as pairs may hold them.
"""


@dataclass(frozen=True, slots=True)
class Readings:
    """What others make of the teacher's tokenizer."""

    lines: tuple[str, ...]
    """A warning for each reading that gives text of the corpus other ids."""
    by_class: bool
    """Whether the class that transformers picks gives the ids of the teacher's own file, in the corpus and beyond."""


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
    by_class = _class_of(name, revision)
    if by_class is None:  # nobody can use this class, so it cannot be told apart either
        return Readings(tuple(lines), by_class=False)
    kind, vocabulary = type(by_class).__name__, by_class.get_vocab()
    strange = [token for token, own in special.items() if vocabulary.get(token) != own]
    if strange:
        first = min(strange)
        lines.append(
            f"warning: transformers' {kind} gives {shortened(first)} the id {vocabulary.get(first)} instead of "
            f"{special[first]}; this cache and its students use the latter"
        )
    theirs = _read(by_class, texts)
    if theirs != ours:
        lines.append(_line(f"transformers' {kind}", ours, theirs, tokenizer))
    probes = [*PROBES, *(f"the {token} cat{token}sat" for token in special)]
    alike = not strange and theirs == ours and _read(by_class, probes) == tokenizer.encoder(pairs=True)(probes)
    return Readings(tuple(lines), by_class=alike)


def _line(reader: str, ours: list[list[int]], theirs: list[list[int]], tokenizer: TextTokenizer) -> str:
    different = sum(own != other for own, other in zip(ours, theirs, strict=True))
    unknown = unknown_id(tokenizer.tokenizer)
    found, own = (sum(unknown is not None and ids.count(unknown) for ids in rows) for rows in (theirs, ours))
    return (
        f"warning: {reader} gives {different:,} of {len(ours):,} texts of the corpus other ids than the teacher's own file "
        f"({found} unknown tokens, the file {own}); this cache and its students use the file"
    )


def _class_of(name: str | Path, revision: str | None) -> Any:
    """Return the tokenizer that transformers makes of these files by itself; None if it cannot be loaded.

    Raises OSError for files that cannot be read at the moment: a cache would keep other files of the tokenizer for that.
    """
    try:
        return class_tokenizer(name, revision)
    except Exception as error:  # transformers raises what its many layers raise
        if isinstance(error, OSError) and error.errno is not None and not leads_nowhere(error):
            raise
        return None


def _read(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    return [list(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]) for text in texts]
