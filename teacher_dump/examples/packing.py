"""Turn documents into examples of raw ids: segments for span corruption, or texts as they are, by themselves or in pairs.

Public codes differ in two choices, which are fixed here:

- *No EOS between documents.* T5 concatenates bare documents (Raffel et al. 2020, span_corruption in t5/data/preprocessors.py);
  Hugging Face's flax script and nanoT5 put one after each. We do as T5 did; the plan records it.
- *Whole documents.* T5 takes one random chunk of at most 65,536 tokens per document. We keep every token, so that nothing
  depends on chance and a cursor can say where a segment begins.

Segment i depends on all documents before it. So every segment comes with the cursor at which the next one begins. Packing can
continue from any cursor, even in the middle of a document, and gives the same segments as an unbroken run.

A document is tokenized in pieces, so that its length does not matter. A `Tally` counts what is left out or cut, up to the
latest segment or pair: equal for equal cursors, however often a run was stopped.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from ...data.long_text import Text, is_blank_text, parts_of
from ...errors import ConfigurationError, CorpusError
from ..corpus.duplicates import DUPLICATE
from ..corpus.pieces import Piece, in_pieces
from ..corpus.plain_text import EncodeBatch
from ..corpus.stream_order import seeded_draw
from .text_form import PLAIN, TextForm

EOS_BETWEEN_DOCUMENTS = False
BATCH = 64
"""The number of pieces or pairs per tokenizer call, to keep its threads busy; it does not affect the result."""
BATCH_CHARACTERS = 2**20
"""The number of characters from which a call is full with fewer of them, to bound memory."""
_BROKEN = re.compile("[\x00-\x08\x0e-\x1f\x7f\ufffd]")
"""Characters that are not text: control characters, and what stands for a character that could not be decoded."""

Ids = npt.NDArray[np.int32]
T = TypeVar("T")
TDocument = TypeVar("TDocument", tuple[int, Text], tuple[int, tuple[Text, ...]])


@dataclass(frozen=True, slots=True)
class SegmentCursor:
    """Where the next example begins: a document, counted in the mixed and shuffled stream, and a token inside it.

    The offset may equal the document's length; the example then begins in the next document that has tokens.
    """

    document: int = 0
    offset: int = 0


START = SegmentCursor()


@dataclass(slots=True)
class Tally:
    """Numbers of documents by what befell them, up to the latest segment or pair."""

    blank: int = 0
    """Documents that were left out, because a text is blank or yields no token."""
    duplicates: int = 0
    """Documents that were left out, because the same came before."""
    broken: int = 0
    """Documents with characters that are not text."""
    cut_inputs: int = 0
    """Texts, or inputs of pairs, that were longer than allowed."""
    cut_targets: int = 0
    unproven: int = 0
    """Cuts in documents without white space at which the ids may not be the ids of the whole document."""


@dataclass(frozen=True, slots=True)
class _Piece:
    """A part of a document, to be tokenized by itself."""

    index: int
    part: Piece
    begins: bool
    ends: bool
    broken: bool
    """Whether the document has characters that are not text."""
    duplicate: bool
    """Whether the same document came before; such a piece is empty."""


def is_validation(seed: int, document_index: int, share: float) -> bool:
    """Return whether we keep a whole document for validation: true for about `share` of all, by a hash of seed and index."""
    return seeded_draw("held-out", seed, document_index) < share * 2.0**64


def pack_segments(
    documents: Iterable[tuple[int, Text]],
    encode_batch: EncodeBatch,
    lengths: Iterable[int],
    start: SegmentCursor = START,
    tally: Tally | None = None,
) -> Iterator[tuple[Ids, SegmentCursor]]:
    """Yield ([length] int32 raw ids, cursor of the following segment); we drop a remainder at the end.

    `lengths` gives the lengths of the segments from `start` on, and does not end before they do. `documents` are (index in the
    stream, text), with ascending indices, already filtered (training or validation). We skip the documents before `start`
    without tokenizing them. The cursor must come from the same stream. Raises ConfigurationError for a length below 1, and
    CorpusError if the document of `start` is missing or shorter than its offset.
    """
    wanted = map(_positive, lengths)
    length = next(wanted)
    tally = tally or Tally()
    open_tokens, size = np.empty(0, dtype=np.int32), 0  # fewer than a segment are open: a cut is in the newest piece
    for piece, ids in _encoded(_pieces(_from(documents, start), encode_batch), encode_batch):
        taken = start.offset if piece.index == start.document else 0
        if piece.begins:
            size = 0
            tally.broken += piece.broken and not taken  # a document that was begun before was counted then
        skipped = max(0, taken - size)
        size += ids.size
        tally.unproven += piece.part.unproven and size > taken
        if piece.ends:
            tally.duplicates += piece.duplicate
            tally.blank += not size and not piece.duplicate
            if taken > size:
                raise CorpusError(_moved(start, f"it has {size} tokens"))
        open_tokens = np.concatenate([open_tokens, ids[skipped:]])
        while open_tokens.size >= length:
            segment, open_tokens = open_tokens[:length], open_tokens[length:]
            yield segment.copy(), SegmentCursor(piece.index, size - open_tokens.size)
            length = next(wanted)


def _positive(length: int) -> int:
    if length < 1:
        raise ConfigurationError(f"a segment needs at least one token, found length {length}")
    return length


def _pieces(documents: Iterator[tuple[int, Text]], encode_batch: EncodeBatch) -> Iterator[_Piece]:
    """Yield the pieces of every document; a blank document is one piece without text."""
    for index, text in documents:
        broken = _is_broken(text)
        parts, begins = in_pieces([""] if is_blank_text(text) else parts_of(text), encode_batch), True
        part: Piece | None = next(parts)
        while part is not None:
            following = next(parts, None)
            yield _Piece(index, part, begins, following is None, broken, text is DUPLICATE)
            part, begins = following, False


def _is_broken(text: Text) -> bool:
    return any(_BROKEN.search(part) is not None for part in parts_of(text))


def _encoded(pieces: Iterator[_Piece], encode_batch: EncodeBatch) -> Iterator[tuple[_Piece, Ids]]:
    for batch in _batched(pieces, lambda piece: len(piece.part)):
        for piece, ids in zip(batch, _ids_of([piece.part for piece in batch], encode_batch), strict=True):
            yield piece, np.array(ids, dtype=np.int32)


def _ids_of(parts: list[Piece], encode_batch: EncodeBatch) -> list[list[int]]:
    """Return the ids of each piece: those that it has, or what the tokenizer makes of its text; none of an empty text."""
    found = iter(encode_batch([part.text for part in parts if part.ids is None and part.text]))
    return [next(found) if part.ids is None and part.text else part.ids or [] for part in parts]


def pack_texts(
    documents: Iterable[tuple[int, tuple[Text, ...]]],
    encode_batch: EncodeBatch,
    longest: tuple[int, ...],
    eos_id: int,
    start: SegmentCursor = START,
    tally: Tally | None = None,
    form: TextForm = PLAIN,
) -> Iterator[tuple[tuple[Ids, ...], SegmentCursor]]:
    """Yield (the ids of each text of a document, int32, ragged; cursor of the next document).

    A document has one text, or an input and a target; `longest` has the largest number of ids of each. `form` says how the first
    is written. We cut each text to its length less one and add EOS. We leave out a document if one of its texts is blank or does
    not have a token. Raises ConfigurationError for a length below 2, and CorpusError if the document of `start` is missing.
    """
    if min(longest) < 2:
        raise ConfigurationError(
            f"texts need lengths of at least 2 (a token and EOS), found {', '.join(map(str, longest))}"
        )
    tally = tally or Tally()
    for batch in _batched(_from(documents, start), lambda document: sum(map(len, document[1]))):
        sides = zip(*(texts for _, texts in batch), strict=True)
        encoded = [
            _first_ids(((PLAIN if side else form).parts(text) for text in texts), longest[side], encode_batch)
            for side, texts in enumerate(sides)
        ]
        for (index, texts), *parts in zip(batch, *encoded, strict=True):
            if texts[0] is DUPLICATE:
                tally.duplicates += 1
                continue
            tally.broken += any(map(_is_broken, texts))
            if any(map(is_blank_text, texts)) or not all(parts):
                tally.blank += 1
                continue
            cut = [len(ids) >= most for ids, most in zip(parts, longest, strict=True)]
            tally.cut_inputs += cut[0]
            tally.cut_targets += any(cut[1:])
            closed = [[*ids[: most - 1], eos_id] for ids, most in zip(parts, longest, strict=True)]
            closed[0] = form.filled(closed[0], longest[0])
            yield tuple(np.array(ids, dtype=np.int32) for ids in closed), SegmentCursor(index + 1)


def _first_ids(texts: Iterable[Iterable[str]], length: int, encode_batch: EncodeBatch) -> list[list[int]]:
    """Return at least the first `length` ids of each text, or all. Of a long text we tokenize only what is needed."""
    pieces = [in_pieces(text, encode_batch) for text in texts]
    found = _ids_of([next(parts) for parts in pieces], encode_batch)
    for ids, parts in zip(found, pieces, strict=True):
        while len(ids) < length and (piece := next(parts, None)) is not None:
            ids.extend(_ids_of([piece], encode_batch)[0])
    return found


def _from(documents: Iterable[TDocument], start: SegmentCursor) -> Iterator[TDocument]:
    """Yield the documents from the cursor's own on. Raise CorpusError if the cursor is inside a document that is missing."""
    inside = start.offset > 0
    for document in documents:
        if document[0] < start.document:
            continue
        if inside and document[0] != start.document:
            break
        inside = False
        yield document
    if inside:
        raise CorpusError(_moved(start, "that document is not there"))


def _moved(start: SegmentCursor, found: str) -> str:
    return (
        f"expected to continue at token {start.offset} of document {start.document}, but {found}: the corpus or the tokenizer "
        "has changed; use the original one or start a new cache"
    )


def _batched(items: Iterator[T], characters_of: Callable[[T], int]) -> Iterator[list[T]]:
    """Yield runs of BATCH items, or fewer where those have BATCH_CHARACTERS."""
    batch: list[T] = []
    characters = 0
    for item in items:
        batch.append(item)
        characters += characters_of(item)
        if len(batch) == BATCH or characters >= BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch
