"""Read some text of the corpus as others would read it, and name each difference to the ids that the dump uses.

The teacher's own files decide the ids (models/tokenizer.py). But whoever opens the teacher with transformers gets what its class
makes of the vocabulary, and a SentencePiece model is converted. Real text shows whether these are the same.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

from ...models.tokenizer import class_tokenizer, sentencepiece_file
from .mixture import Mixture
from .plain_text import special_tokens, unknown_id
from .tokenizer import TextTokenizer

DOCUMENTS = 64
"""The number of documents of each corpus that are compared."""
CHARACTERS = 2000
"""The number of characters of each text that are compared."""

Read = Callable[[str], list[int]]


def other_readings(name: str | Path, revision: str | None, tokenizer: TextTokenizer, mixture: Mixture) -> Iterator[str]:
    """Yield a warning for each other reading of the teacher's tokenizer that gives text of the corpus other ids."""
    special = special_tokens(tokenizer.tokenizer)
    texts = [text[:CHARACTERS] for document in mixture.first_documents(DOCUMENTS) for text in document]
    texts = [text for text in texts if not any(token in text for token in special)]
    ours = tokenizer.encode_batch(texts)
    unknown = unknown_id(tokenizer.tokenizer)
    for reader, read in _readers(name, revision):
        theirs = [read(text) for text in texts]
        different = sum(own != other for own, other in zip(ours, theirs, strict=True))
        if different:
            counts = (
                [sum(ids.count(unknown) for ids in rows) for rows in (ours, theirs)] if unknown is not None else [0, 0]
            )
            yield (
                f"warning: {reader} gives {different} of {len(texts)} texts of the corpus other ids than the teacher's own "
                f"file ({counts[1]} unknown tokens, the file {counts[0]}); this cache and its students use the file. Read their "
                "texts with transformers.PreTrainedTokenizerFast"
            )


def _readers(name: str | Path, revision: str | None) -> Iterator[tuple[str, Read]]:
    """Yield each other reading with its name; one that cannot be loaded is left out, because nobody can use it either."""
    if path := sentencepiece_file(name, revision):
        from sentencepiece import SentencePieceProcessor

        yield f"sentencepiece with {path.name}", SentencePieceProcessor(model_file=str(path)).encode
    try:
        tokenizer = class_tokenizer(name, revision)
    except Exception:  # transformers raises what its many layers raise
        return
    kind = type(tokenizer).__name__
    yield (
        f"transformers' {kind}",
        lambda text: list(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]),
    )
